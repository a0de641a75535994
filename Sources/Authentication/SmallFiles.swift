import Glibc

/// The file as text; nil if it cannot be read or is larger than a configuration file has reason to be (64 KiB).
func readSmallFile(_ path: String) -> String? {
    guard let bytes = readFile(path, limit: 65_536) else { return nil }
    return String(decoding: bytes, as: UTF8.self)
}

/// The file's bytes; nil if it cannot be read or is longer than `limit`.
func readFile(_ path: String, limit: Int) -> [UInt8]? {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = Glibc.close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
        let count = unsafe read(descriptor, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { return nil }
        if count == 0 { return bytes }
        bytes += chunk[..<count]
        if bytes.count > limit { return nil }
    }
}

/// The text of the current `errno`.
func systemErrorText(_ number: CInt = errno) -> String {
    unsafe strerror(number).map { unsafe String(cString: $0) } ?? "error \(number)"
}

func fileExists(_ path: String) -> Bool { unsafe access(path, F_OK) == 0 }
