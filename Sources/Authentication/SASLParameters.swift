extension AuthClientConfiguration {
    /// From the parameters of a service: `parameter` gives a name's value.
    /// Throws ``SASLConfigurationError`` on a word that would have restricted and is not understood; the text names the parameter.
    package init(parameter: (String) -> String, timeoutSeconds: Int = 60) throws(SASLConfigurationError) {
        self.init(
            service: parameter("smtpd_sasl_service"),
            localDomain: parameter("smtpd_sasl_local_domain"),
            serverName: parameter("myhostname"),
            securityOptions: try named("smtpd_sasl_security_options", parameter, SASLSecurityOptions.init(parsing:)),
            tlsSecurityOptions: try named("smtpd_sasl_tls_security_options", parameter, SASLSecurityOptions.init(parsing:)),
            mechanismFilter: try named("smtpd_sasl_mechanism_filter", parameter) { text throws(SASLConfigurationError) in
                try MechanismFilter(parsing: text, emptyAcceptsAll: false)
            },
            timeoutSeconds: timeoutSeconds
        )
    }
}

extension CyrusProfile {
    /// From the parameters of a service. Services with the same ``poolKey`` can share workers.
    /// - Parameter isChrooted: what master.cf says of the service.
    package init(parameter: (String) -> String, isChrooted: Bool) {
        self.init(
            application: parameter("smtpd_sasl_path"),
            configPath: parameter("cyrus_sasl_config_path"),
            configDirectory: parameter("config_directory"),
            chrootDirectory: isChrooted ? parameter("queue_directory") : nil,
            service: parameter("smtpd_sasl_service"),
            serverName: parameter("myhostname"),
            localDomain: parameter("smtpd_sasl_local_domain")
        )
    }

    /// What libsasl2 takes once per process; the rest comes with each request.
    package var poolKey: String { [application, configPath, configDirectory, chrootDirectory ?? ""].joined(separator: "\n") }
}

private func named<T>(
    _ name: String,
    _ parameter: (String) -> String,
    _ parse: (String) throws(SASLConfigurationError) -> T
) throws(SASLConfigurationError) -> T {
    do {
        return try parse(parameter(name))
    } catch {
        throw SASLConfigurationError("\(name): \(error)")
    }
}
