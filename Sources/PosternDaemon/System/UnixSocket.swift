import CLinux
import Glibc

/// Stream sockets with a path: the control sockets of the roles. The side that serves them; ``UnixSocket/connect(to:seconds:)`` is the other.
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

    static func make() throws(SystemError) -> CInt {
        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemError("socket") }
        return descriptor
    }

    /// The address of a path, or of a name in the abstract namespace that begins with `@`.
    static func withAddress(_ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) throws(SystemError) -> CInt {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemError("socket path \(path)", code: ENAMETOOLONG)
        }
        let isAbstract = name.first == UInt8(ascii: "@")
        if isAbstract { name[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        // An abstract name ends where the length says, a path at its zero.
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count + (isAbstract ? 0 : 1))
        return unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, length) }
        }
    }
}
