import Authentication
import Settings

/// Which back ends the services of a configuration authenticate with. Equal in every process that reads the same configuration, so that a
/// number names a profile.
struct SASLProfiles {
    /// One pool of workers for each: libsasl2 is configured once per process.
    private(set) var cyrus: [CyrusProfile] = []
    private(set) var dovecot: [String] = []

    init(_ configuration: Configuration) {
        for service in configuration.smtpdServices {
            let settings = configuration.settings(for: service)
            switch Self.backEnd(settings, configurationDirectory: configuration.directory, chroot: service.chroot) {
            case .cyrus(let profile) where !cyrus.contains(profile): cyrus.append(profile)
            case .dovecot(let path) where !dovecot.contains(path): dovecot.append(path)
            default: break
            }
        }
    }

    enum BackEnd: Hashable {
        case cyrus(CyrusProfile)
        /// `smtpd_sasl_path` as written.
        case dovecot(String)
    }

    /// nil when the service does not authenticate.
    static func backEnd(_ settings: ServiceSettings, configurationDirectory: String, chroot: Bool) -> BackEnd? {
        guard settings.bool("smtpd_sasl_auth_enable") else { return nil }
        if settings.text("smtpd_sasl_type") == "dovecot" { return .dovecot(settings.text("smtpd_sasl_path")) }
        return .cyrus(
            CyrusProfile(
                application: settings.text("smtpd_sasl_path"),
                configPath: settings.text("cyrus_sasl_config_path"),
                configDirectory: configurationDirectory,
                chrootDirectory: chroot ? settings.text("queue_directory") : nil,
                service: settings.text("smtpd_sasl_service"),
                serverName: settings.text("myhostname"),
                localDomain: settings.text("smtpd_sasl_local_domain")
            )
        )
    }
}

extension AuthClientConfiguration {
    /// What a service says about SASL. Throws on an option that would restrict and is not known.
    init(_ settings: ServiceSettings) throws(SASLConfigurationError) {
        self.init(
            service: settings.text("smtpd_sasl_service"),
            localDomain: settings.text("smtpd_sasl_local_domain"),
            serverName: settings.text("myhostname"),
            securityOptions: try SASLSecurityOptions(parsing: settings.text("smtpd_sasl_security_options")),
            tlsSecurityOptions: try SASLSecurityOptions(parsing: settings.text("smtpd_sasl_tls_security_options")),
            mechanismFilter: try MechanismFilter(parsing: settings.text("smtpd_sasl_mechanism_filter"), emptyAcceptsAll: false),
            timeoutSeconds: Int(settings.duration("smtpd_sasl_timeout").components.seconds)
        )
    }
}
