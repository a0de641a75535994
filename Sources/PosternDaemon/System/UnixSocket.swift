import CLinux
import Glibc

/// Stream sockets with a path: the control sockets of the roles. Blocking, with time limits.
enum UnixSocket {
    /// Binds and listens at `path`, mode 0600, replacing what an earlier process left there.
    static func listen(at path: String) throws(SystemError) -> CInt {
        let descriptor = try make()
        _ = unsafe unlink(path)
        let previousMask = umask(0o177)
        let result = unsafe try withAddress(path) { unsafe bind(descriptor, $0, $1) }
        umask(previousMask)
        guard result == 0, Glibc.listen(descriptor, 16) == 0 else {
            let error = SystemError("listening on \(path)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Connects to `path`; throws `ENOENT` or `ECONNREFUSED` when nobody serves it.
    static func connect(to path: String) throws(SystemError) -> CInt {
        let descriptor = try make()
        guard unsafe try withAddress(path, { unsafe Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let error = SystemError("connecting to \(path)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// The next connection of a process that runs as root or as we do; others are turned away. nil when the listening socket is closed, or
    /// does not block and has none now.
    static func accept(on listening: CInt) -> CInt? {
        while true {
            let descriptor = Glibc.accept(listening, nil, nil)
            if descriptor < 0 {
                if errno == EINTR || errno == ECONNABORTED { continue }
                // For want of a descriptor or memory: there may be some in a moment.
                guard [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno), fcntl(listening, F_GETFL) & O_NONBLOCK == 0 else { return nil }
                usleep(10_000)
                continue
            }
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            var user: uid_t = 0
            var process: pid_t = 0
            if unsafe postern_peer_uid(descriptor, &user, &process) == 0, user == 0 || user == geteuid() { return descriptor }
            close(descriptor)
        }
    }

    static func setTimeLimits(_ descriptor: CInt, seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    /// Writes all of `text`; false when the other side is gone or slower than the time limit.
    static func write(_ text: String, to descriptor: CInt) -> Bool { write(text.utf8, to: descriptor) }

    /// The same for bytes.
    static func write(_ bytes: some Sequence<UInt8>, to descriptor: CInt) -> Bool {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return false }
        }
        return true
    }

    /// Writes what the other side takes now, without waiting. nil when it is gone.
    static func writeSome(_ bytes: ArraySlice<UInt8>, to descriptor: CInt) -> Int? {
        let flags = CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT)
        let count = unsafe bytes.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, flags) }
        return count >= 0 ? count : errno == EAGAIN || errno == EINTR ? 0 : nil
    }

    /// Up to 64 KiB; empty at the end, or when the time limit passed.
    static func read(from descriptor: CInt) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var count = -1
        repeat {
            count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        } while count < 0 && errno == EINTR
        return count > 0 ? Array(bytes[..<count]) : []
    }

    private static func make() throws(SystemError) -> CInt {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemError("socket") }
        return descriptor
    }

    private static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) throws(SystemError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard path.utf8.count < capacity else { throw SystemError("socket path \(path)", code: ENAMETOOLONG) }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        return unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}
