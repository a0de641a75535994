import Glibc

/// The file that says which process serves a queue directory. A lock on it, not its content, tells whether that process lives.
struct PIDFile {
    let descriptor: CInt

    /// The file that this process holds locked already.
    init(adopting descriptor: CInt) { self.descriptor = descriptor }

    static func path(queueDirectory: String) -> String { "\(queueDirectory)/pid/postern.pid" }

    enum Failure: Error, CustomStringConvertible {
        case running(pid_t)
        case system(SystemError)

        var description: String {
            switch self {
            case .running(let pid): "already running: process \(pid) serves this queue directory"
            case .system(let error): error.description
            }
        }
    }

    /// Creates and locks the file; the lock lasts as long as this process.
    init(queueDirectory: String, configurationDirectory: String) throws(Failure) {
        let path = Self.path(queueDirectory: queueDirectory)
        descriptor = unsafe open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw .system(SystemError("opening \(path)")) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let server = Self.read(descriptor)
            close(descriptor)
            throw .running(server?.pid ?? 0)
        }
        let text = Array("\(getpid())\n\(configurationDirectory)\n".utf8)
        // Written over the old number, then cut: on a full disk there is room for as much as was there.
        _ = unsafe text.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, $0.count, 0) }
        _ = ftruncate(descriptor, off_t(text.count))
    }

    /// The process that serves the queue directory; nil if none does.
    static func runningProcess(queueDirectory: String) -> pid_t? { running(queueDirectory: queueDirectory)?.pid }

    struct Server: Sendable, Hashable {
        let pid: pid_t
        let configurationDirectory: String?
    }

    /// The server of the queue directory, with the configuration it was started with; nil if there is none.
    static func running(queueDirectory: String) -> Server? {
        let descriptor = unsafe open(path(queueDirectory: queueDirectory), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard flock(descriptor, LOCK_SH | LOCK_NB) != 0 else { return nil }
        return read(descriptor)
    }

    private static func read(_ descriptor: CInt) -> Server? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        guard count > 0 else { return nil }
        let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
        guard let first = lines.first, let pid = pid_t(first) else { return nil }
        return Server(pid: pid, configurationDirectory: lines.count > 1 ? String(lines[1]) : nil)
    }
}
