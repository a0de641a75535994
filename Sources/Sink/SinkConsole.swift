internal import Glibc

/// The writing end of the pipe that the signal handler rings. Written once, before the handler exists.
private nonisolated(unsafe) var bell: CInt = -1

/// What the command line needs of the system: a terminal, files, and the wish to end.
package enum SinkConsole {
    /// Why a message could not be printed or stored.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    /// Writes all of `text` to standard output, unbuffered, so that nothing is lost when the process is ended.
    package static func print(_ text: String) throws { try write(Array(text.utf8), to: 1, path: "standard output") }

    /// Stores a message as `DIR/NNNNNNNN.eml`, which must not exist yet; complete when this returns.
    package static func store(_ message: SinkMessage, number: Int, in directory: String) throws {
        let digits = String(number)
        let name = String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits + ".eml"
        let path = "\(directory)/\(name)"
        // Written under a name that `.eml` does not match, so that whoever waits for messages never reads half of one.
        let draft = "\(directory)/.\(name).draft"
        let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw failure(draft) }
        defer {
            Glibc.close(descriptor)
            removeFile(draft)
        }
        try write(message.stored, to: descriptor, path: draft)
        guard unsafe link(draft, path) == 0 else { throw failure(path) }
    }

    /// The first number for which `directory` holds no message; makes the directory if need be.
    package static func firstFreeNumber(in directory: String) throws -> Int {
        if unsafe mkdir(directory, 0o700) != 0, errno != EEXIST { throw failure(directory) }
        guard let stream = unsafe opendir(directory) else { throw failure(directory) }
        defer { unsafe closedir(stream) }
        var last = 0
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasSuffix(".eml"), let number = Int(name.dropLast(4)) { last = max(last, number) }
        }
        return last + 1
    }

    package static func removeFile(_ path: String) { _ = unsafe unlink(path) }

    /// From here on SIGINT and SIGTERM no longer end the process but ``waitForTermination(_:)``. Returns what to wait for.
    ///
    /// A handler and a pipe, because a mask would have to be set before any thread exists, and the main thread is not ours.
    package static func catchTermination() throws -> CInt {
        var ends: [CInt] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw failure("pipe") }
        unsafe bell = ends[1]
        for number in [SIGINT, SIGTERM] {
            // write(2) is all that happens in the handler: it is async-signal-safe.
            _ = signal(number) { _ in
                var byte: UInt8 = 0
                _ = unsafe Glibc.write(bell, &byte, 1)
            }
        }
        return ends[0]
    }

    /// Returns when SIGINT or SIGTERM has arrived since ``catchTermination()``.
    package static func waitForTermination(_ descriptor: CInt) {
        var byte: UInt8 = 0
        while unsafe Glibc.read(descriptor, &byte, 1) < 0, errno == EINTR {}
    }

    private static func write(_ bytes: [UInt8], to descriptor: CInt, path: String) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            // The pointer is used within the call only, with its own count.
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(path) }
            rest = rest.dropFirst(count)
        }
    }

    static func failure(_ subject: String, _ code: CInt = errno) -> Failure {
        Failure(description: "\(subject): \(unsafe String(cString: strerror(code)))")
    }
}
