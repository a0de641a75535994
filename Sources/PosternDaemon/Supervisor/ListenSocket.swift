import Glibc
package import SMTPCore

/// A bound, listening TCP socket, kept by the supervisor for its whole life: roles come and go, connections queue here meanwhile.
package struct ListenSocket: Sendable, Hashable {
    /// The service of master.cf that is served here; a reload may change it.
    package internal(set) var service: String
    package let address: IPAddress
    package let port: UInt16
    let descriptor: CInt

    var display: String { if case .v6 = address { "[\(address)]:\(port)" } else { "\(address):\(port)" } }

    static let backlog: CInt = 1024

    /// Binds without SO_REUSEPORT, under which a second daemon would bind the same port silently.
    init(service: String, address: IPAddress, port: UInt16) throws(SystemError) {
        self.service = service
        self.address = address
        self.port = port
        let isV6 = if case .v6 = address { true } else { false }
        let what = "listening on \(isV6 ? "[\(address)]" : "\(address)"):\(port) for service \(service)"
        let descriptor = socket(
            isV6 ? AF_INET6 : AF_INET,
            CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue),
            0
        )
        guard descriptor >= 0 else { throw SystemError(what) }
        self.descriptor = descriptor
        var one: CInt = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<CInt>.size))
        // Each family has its own socket, so that an IPv4 client never shows up as ::ffff:a.b.c.d.
        if isV6 { _ = unsafe setsockopt(descriptor, CInt(IPPROTO_IPV6), IPV6_V6ONLY, &one, socklen_t(MemoryLayout<CInt>.size)) }
        guard Self.bind(descriptor, address, port) == 0, listen(descriptor, Self.backlog) == 0 else {
            let error = SystemError(what)
            close(descriptor)
            throw error.explained(address, port)
        }
    }

    /// A socket that listens already: passed by a service manager, or by the program that this one has replaced.
    init(service: String, address: IPAddress, port: UInt16, adopting descriptor: CInt) {
        self.service = service
        self.address = address
        self.port = port
        self.descriptor = descriptor
    }

    private static func bind(_ descriptor: CInt, _ address: IPAddress, _ port: UInt16) -> CInt {
        switch address {
        case .v4(let value):
            var name = sockaddr_in()
            name.sin_family = sa_family_t(AF_INET)
            name.sin_port = port.bigEndian
            name.sin_addr.s_addr = value.bigEndian
            return bind(descriptor, &name)
        case .v6(let high, let low):
            var name = sockaddr_in6()
            name.sin6_family = sa_family_t(AF_INET6)
            name.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &name.sin6_addr) { bytes in
                unsafe bytes.storeBytes(of: high.bigEndian, as: UInt64.self)
                unsafe bytes.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            return bind(descriptor, &name)
        }
    }

    private static func bind<Name>(_ descriptor: CInt, _ name: inout Name) -> CInt {
        unsafe withUnsafePointer(to: &name) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe Glibc.bind(descriptor, $0, socklen_t(MemoryLayout<Name>.size))
            }
        }
    }
}
