import NIOCore
import SMTPCore

/// One place to connect to.
struct Endpoint: Sendable, Hashable {
    enum Address: Sendable, Hashable {
        case inet(IPAddress, port: Int)
        /// An absolute path, and the path as the configuration wrote it.
        case unix(path: String, written: String)
    }

    /// The name the address was found by; for a UNIX socket our own name, as in Postfix.
    var host: String
    var address: Address
    /// Only then the server's own name is checked for ours.
    var checksForLoop = false

    /// `host[192.0.2.1]`, how log texts name the server.
    var label: String {
        switch address {
        case .inet(let address, _): "\(host)[\(address)]"
        case .unix(_, let written): "\(host)[\(written)]"
        }
    }

    /// `host[192.0.2.1]:25`, how `relay=` and connect errors name it.
    var labelWithPort: String {
        switch address {
        case .inet(_, let port): "\(label):\(port)"
        case .unix: label
        }
    }

    /// For NIO; nil for a path that is too long for a UNIX socket.
    var socketAddress: SocketAddress? {
        switch address {
        case .inet(let address, let port): try? SocketAddress(ipAddress: address.description, port: port)
        case .unix(let path, _): try? SocketAddress(unixDomainSocketPath: path)
        }
    }
}
