/// What one smtpd service says about SASL.
package struct AuthClientConfiguration: Sendable {
    /// `smtpd_sasl_service`.
    package var service: String
    /// `smtpd_sasl_local_domain`; empty for the library's own default (only our Cyrus workers get it).
    package var localDomain: String
    /// `myhostname` (only our Cyrus workers get it).
    package var serverName: String
    /// `smtpd_sasl_security_options`, for sessions without TLS.
    package var securityOptions: SASLSecurityOptions
    /// `smtpd_sasl_tls_security_options`.
    package var tlsSecurityOptions: SASLSecurityOptions
    /// `smtpd_sasl_mechanism_filter`.
    package var mechanismFilter: MechanismFilter
    /// `smtpd_sasl_timeout` (ours): seconds that one step of an exchange may wait for a free worker and run there.
    package var timeoutSeconds: Int

    package init(
        service: String = "smtp",
        localDomain: String = "",
        serverName: String,
        securityOptions: SASLSecurityOptions = .noanonymous,
        tlsSecurityOptions: SASLSecurityOptions = .noanonymous,
        mechanismFilter: MechanismFilter = .all,
        timeoutSeconds: Int = 60
    ) {
        self.service = service
        self.localDomain = localDomain
        self.serverName = serverName
        self.securityOptions = securityOptions
        self.tlsSecurityOptions = tlsSecurityOptions
        self.mechanismFilter = mechanismFilter
        self.timeoutSeconds = timeoutSeconds
    }
}

/// Where Dovecot listens: `smtpd_sasl_path` with `smtpd_sasl_type = dovecot`.
package enum DovecotSocket: Sendable, Hashable, CustomStringConvertible {
    /// An absolute path.
    case unix(String)
    case inet(host: String, port: Int)

    /// Parses `inet:host:port`, `unix:path` or a path; a relative path is relative to `queueDirectory` (give `/` from inside a chroot there).
    package init(parsing text: String, queueDirectory: String) throws(SASLConfigurationError) {
        if text.hasPrefix("inet:") {
            let rest = text.dropFirst(5)
            guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]), (1...65535).contains(port),
                colon > rest.startIndex
            else { throw SASLConfigurationError("smtpd_sasl_path: \"\(text)\" is not inet:host:port") }
            var host = rest[..<colon]
            if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
            self = .inet(host: String(host), port: port)
            return
        }
        let path = text.hasPrefix("unix:") ? String(text.dropFirst(5)) : text
        if path.isEmpty { throw SASLConfigurationError("smtpd_sasl_path is empty: it must name Dovecot's socket") }
        self = .unix(path.hasPrefix("/") ? path : queueDirectory + (queueDirectory.hasSuffix("/") ? "" : "/") + path)
    }

    package var description: String {
        switch self {
        case .unix(let path): path
        case .inet(let host, let port): "inet:\(host):\(port)"
        }
    }
}
