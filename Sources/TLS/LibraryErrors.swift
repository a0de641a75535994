import COpenSSL
import Glibc

/// The library's error queue. It belongs to the thread, so it is emptied before each call whose failure is to be explained and read right
/// after it, on the same loop.
enum LibraryErrors {
    /// Empties the queue and returns it, oldest first, as Postfix logs it after `TLS library problem: `:
    /// `error:0A00010B:SSL routines::wrong version number:../ssl/record/ssl3_record.c:350:`.
    static func take() -> [String] {
        var lines: [String] = []
        var code: UInt = 0
        while true {
            let line = unsafe String(unsafeUninitializedCapacity: 512) { text in
                unsafe text.withMemoryRebound(to: CChar.self) { characters in
                    guard unsafe postern_next_error(characters.baseAddress, characters.count, &code) != 0 else { return 0 }
                    return unsafe strnlen(characters.baseAddress!, characters.count)
                }
            }
            if code == 0 { return lines }
            // The queue holds at most 16 entries; the bound is for a library that would ever do otherwise.
            if lines.count < 32 { lines.append(line) }
        }
    }

    static func clear() { ERR_clear_error() }

    /// The last part of a line that a reader without the library's source can use: `wrong version number`.
    static func reason(of line: String) -> String {
        let parts = line.split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
        return parts.count > 4 && !parts[4].isEmpty ? String(parts[4]) : line
    }
}

/// The text of an errno value: `No such file or directory`. (glibc's strerror keeps its buffer per thread.)
func errnoText(_ number: CInt) -> String {
    unsafe String(cString: strerror(number))
}
