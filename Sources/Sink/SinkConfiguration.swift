package import TLS

/// Where a sink listens.
package enum SinkEndpoint: Sendable, Hashable, CustomStringConvertible {
    /// An IP address and a port; port 0 lets the system choose.
    case inet(host: String, port: Int)
    case unix(path: String)

    package static let loopback = SinkEndpoint.inet(host: "127.0.0.1", port: 0)

    /// Parses `127.0.0.1:2526`, `[::1]:2526`, `2526` (on 127.0.0.1) or `unix:/path`.
    package init?(_ text: String) {
        if text.hasPrefix("unix:") {
            let path = text.dropFirst(5)
            // sockaddr_un has room for 107 bytes.
            guard (1...107).contains(path.utf8.count) else { return nil }
            self = .unix(path: String(path))
            return
        }
        let colon = text.lastIndex(of: ":")
        let digits = colon.map { text[text.index(after: $0)...] } ?? text[...]
        var host = colon.map { text[..<$0] } ?? "127.0.0.1"
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() } else if host.contains(":") { return nil }
        guard !host.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else { return nil }
        self = .inet(host: String(host), port: Int(port))
    }

    package var description: String {
        switch self {
        case .inet(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): "unix:\(path)"
        }
    }
}

/// What a login at the sink must give. Not printable, so that it reaches no log.
package struct SinkCredential: Sendable, Hashable, CustomStringConvertible {
    let user: String
    let password: String

    package init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    package var description: String { "credential of \(user)" }
}

/// How a sink behaves.
package struct SinkConfiguration: Sendable {
    package var endpoint = SinkEndpoint.loopback
    /// The name in the greeting and the EHLO reply.
    package var hostName = "sink.localhost"
    /// LMTP (RFC 2033): LHLO, and a reply for each recipient after the content.
    package var isLMTP = false
    /// Whether EHLO offers PIPELINING. Pipelined commands are served either way.
    package var offersPipelining = true
    /// Announced by SIZE; larger messages get 552. Bytes.
    package var sizeLimit = 64 << 20
    /// With a context, STARTTLS is offered.
    package var tls: TLSContext?
    /// TLS from the first byte, instead of STARTTLS.
    package var isTLSWrapper = false
    /// MAIL needs TLS.
    package var requiresTLS = false
    /// With a credential, AUTH PLAIN is offered and MAIL needs it.
    package var credential: SinkCredential?
    package var faults: [SinkFault] = []
    /// Whether messages stay in memory, for ``SMTPSink/messages``.
    package var keepsMessages = true

    package init() {}
}
