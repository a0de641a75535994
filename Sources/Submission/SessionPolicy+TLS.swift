import NIOCore
import Settings
import Tables

/// When TLS is offered, and when it is demanded.
struct SessionTLSPolicy: Sendable {
    enum Level: Sendable {
        case none, may, encrypt
    }

    let level: Level
    /// TLS from the first byte (`smtpd_tls_wrappermode`).
    let isWrapped: Bool
    /// `smtpd_tls_auth_only`, also when TLS is demanded anyway.
    let authOnly: Bool
    let startTimeout: TimeAmount
    let logLevel: Int
    let asksClientCertificate: Bool
    let requiresClientCertificate: Bool
    let inReceivedHeader: Bool

    var isEnforced: Bool { level == .encrypt }

    init(_ settings: ServiceSettings) throws(ConfigurationError) {
        isWrapped = settings.bool("smtpd_tls_wrappermode")
        level = isWrapped ? .encrypt : try Self.level(settings)
        authOnly = settings.bool("smtpd_tls_auth_only") || level == .encrypt
        startTimeout = settings.timeAmount("smtpd_starttls_timeout")
        logLevel = Int(settings.text("smtpd_tls_loglevel")) ?? 1
        requiresClientCertificate = settings.bool("smtpd_tls_req_ccert") && level == .encrypt
        asksClientCertificate = settings.bool("smtpd_tls_ask_ccert") || requiresClientCertificate
        inReceivedHeader = settings.bool("smtpd_tls_received_header")
    }

    private static func level(_ settings: ServiceSettings) throws(ConfigurationError) -> Level {
        let text = settings.text("smtpd_tls_security_level").lowercased()
        switch text {
        case "": return settings.bool("smtpd_enforce_tls") ? .encrypt : settings.bool("smtpd_use_tls") ? .may : .none
        case "none": return .none
        case "may": return .may
        case "encrypt", "dane", "dane-only", "fingerprint", "verify", "secure": return .encrypt
        default:
            throw ConfigurationError("invalid TLS level \"\(text)\"", at: settings.location(of: "smtpd_tls_security_level"))
        }
    }
}

/// Who may log in, and how.
struct SessionSASLPolicy: Sendable {
    let isEnabled: Bool
    /// `broken_sasl_auth_clients`: EHLO repeats the mechanisms as `AUTH=`.
    let sendsLegacyLine: Bool
    let responseLimit: Int
    let inReceivedHeader: Bool
    /// Clients that are not offered AUTH.
    let exceptions: NetworkList

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        isEnabled = settings.bool("smtpd_sasl_auth_enable")
        sendsLegacyLine = settings.bool("broken_sasl_auth_clients")
        responseLimit = settings.integer("smtpd_sasl_response_limit")
        inReceivedHeader = settings.bool("smtpd_sasl_authenticated_header")
        exceptions = try NetworkList(settings, "smtpd_sasl_exceptions_networks", tables: tables)
    }
}
