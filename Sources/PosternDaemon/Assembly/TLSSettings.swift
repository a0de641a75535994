import Settings
import TLS

/// `smtpd_tls_security_level` with all that may stand in its place.
enum ServerTLSLevel: Sendable, Hashable {
    case none
    case may
    case encrypt

    /// Wrapper mode forces encryption; an empty level falls back to `smtpd_enforce_tls` and `smtpd_use_tls`; the client-side levels
    /// (`verify`, `dane`, ...) mean `encrypt` on the server's side, as smtpd(8) has it.
    init(_ settings: ServiceSettings) {
        if settings.bool("smtpd_tls_wrappermode") {
            self = .encrypt
            return
        }
        switch settings.text("smtpd_tls_security_level") {
        case "": self = settings.bool("smtpd_enforce_tls") ? .encrypt : settings.bool("smtpd_use_tls") ? .may : .none
        case "none": self = .none
        case "may": self = .may
        default: self = .encrypt
        }
    }
}

extension TLSServerConfiguration {
    /// The `smtpd_tls_*` and `tls_*` parameters of a service.
    init(_ settings: ServiceSettings) {
        self.init()
        let mandatory = ServerTLSLevel(settings) == .encrypt
        chainFiles = settings.list("smtpd_tls_chain_files")
        pair = TLSKeyPair(settings, certificate: "smtpd_tls_cert_file", key: "smtpd_tls_key_file")
        ecPair = TLSKeyPair(settings, certificate: "smtpd_tls_eccert_file", key: "smtpd_tls_eckey_file")
        authorities = TLSAuthorities(
            file: settings.text("smtpd_tls_CAfile"),
            directory: settings.text("smtpd_tls_CApath"),
            appendDefault: settings.bool("tls_append_default_CA")
        )
        policy = TLSPolicy(settings, prefix: "smtpd", mandatory: mandatory)
        preemptCipherList = settings.bool("tls_preempt_cipherlist")
        let dhParameters = settings.text("smtpd_tls_dh1024_param_file")
        dhParametersFile = dhParameters == "auto" || dhParameters == "none" ? "" : dhParameters
        askClientCertificate = settings.bool("smtpd_tls_ask_ccert")
        tickets = TLSSessionTickets(
            enabled: !settings.text("tls_session_ticket_cipher").isEmpty,
            lifetime: Int(settings.duration("smtpd_tls_session_cache_timeout").components.seconds)
        )
    }
}

extension TLSKeyPair {
    fileprivate init?(_ settings: ServiceSettings, certificate: String, key: String) {
        let file = settings.text(certificate)
        guard !file.isEmpty, file != "none" else { return nil }
        self.init(certificateFile: file, keyFile: settings.text(key))
    }
}

extension TLSPolicy {
    fileprivate init(_ settings: ServiceSettings, prefix: String, mandatory: Bool) {
        self.init()
        let scope = mandatory ? "\(prefix)_tls_mandatory" : "\(prefix)_tls"
        protocols = settings.text("\(scope)_protocols")
        var exclusions = settings.list("\(prefix)_tls_exclude_ciphers")
        if mandatory { exclusions += settings.list("\(prefix)_tls_mandatory_exclude_ciphers") }
        let grade = settings.text("\(scope)_ciphers").lowercased()
        cipherList = TLSCiphers.list(grade: settings.text("tls_\(grade)_cipherlist"), excluding: exclusions)
        options = settings.text("tls_ssl_options")
        disabledWorkarounds = settings.text("tls_disable_workarounds")
        curves =
            TLSCurves.names(
                grade: settings.text("smtpd_tls_eecdh_grade"),
                auto: settings.list("tls_eecdh_auto_curves"),
                strong: settings.text("tls_eecdh_strong_curve"),
                ultra: settings.text("tls_eecdh_ultra_curve")
            ) ?? []
    }
}
