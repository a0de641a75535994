import Glibc
import SMTPCore

/// Listening sockets that the starter of this process has bound (sd_listen_fds(3)): ports below 1024 without root.
struct PassedSockets: Sendable {
    struct Socket: Sendable, Hashable {
        let descriptor: CInt
        let address: IPAddress
        let port: UInt16
    }

    /// What this process was started with.
    static let atStart = PassedSockets()

    private(set) var sockets: [Socket] = []
    /// Descriptors that are not listening TCP sockets, for a message.
    private(set) var foreign: [CInt] = []

    /// The first passed descriptor, by the protocol.
    static let first: CInt = 3

    /// Takes what `LISTEN_PID` and `LISTEN_FDS` name, once: the variables are removed, the descriptors are closed on exec.
    init(environment: (String) -> String? = ProcessEnvironment.value) {
        guard environment("LISTEN_PID").flatMap({ pid_t($0) }) == getpid(), let count = environment("LISTEN_FDS").flatMap({ CInt($0) }),
            (1...1024).contains(count)
        else { return }
        for descriptor in Self.first..<Self.first + count {
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
            if let (address, port) = Self.listeningAt(descriptor) {
                // The roles' loops must never wait in accept(2).
                _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
                sockets.append(Socket(descriptor: descriptor, address: address, port: port))
            } else {
                foreign.append(descriptor)
            }
        }
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] { ProcessEnvironment.remove(name) }
    }

    /// The socket for an address of master.cf: one bound to it, else one bound to all addresses of its port and family.
    mutating func take(_ address: IPAddress, _ port: UInt16) -> Socket? {
        func isAny(_ socket: Socket) -> Bool {
            switch (socket.address, address) {
            case (.v4(0), .v4), (.v6(0, 0), .v6): true
            default: false
            }
        }
        let found =
            sockets.firstIndex { $0.port == port && $0.address == address } ?? sockets.firstIndex { $0.port == port && isAny($0) }
        return found.map { sockets.remove(at: $0) }
    }

    /// What is bound, if it is a TCP socket that listens.
    private static func listeningAt(_ descriptor: CInt) -> (IPAddress, UInt16)? {
        var listening: CInt = 0
        var size = socklen_t(MemoryLayout<CInt>.size)
        guard unsafe getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0, listening != 0 else { return nil }
        var name = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let result = unsafe withUnsafeMutablePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        let port = UInt16(bigEndian: name.sin6_port)
        switch CInt(name.sin6_family) {
        case AF_INET:
            let v4 = unsafe withUnsafeBytes(of: &name) { unsafe $0.load(as: sockaddr_in.self) }
            return (.v4(UInt32(bigEndian: v4.sin_addr.s_addr)), port)
        case AF_INET6:
            let words = unsafe withUnsafeBytes(of: &name.sin6_addr) { bytes in
                unsafe (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            return (.v6(high: UInt64(bigEndian: words.0), low: UInt64(bigEndian: words.1)), port)
        default: return nil
        }
    }
}
