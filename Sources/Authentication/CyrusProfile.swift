/// What a process that uses libsasl2 as a server must know before `sasl_server_init`: the library takes it once per process.
package struct CyrusProfile: Sendable, Hashable {
    /// `smtpd_sasl_path`: the name of the configuration file without `.conf`.
    package var application: String
    /// `cyrus_sasl_config_path` (colon separated); searched first.
    package var configPath: String
    /// `config_directory`; Debian's Postfix reads `sasl/smtpd.conf` there.
    package var configDirectory: String
    /// `queue_directory` when master.cf says `chroot: y` for the service, else nil: sockets and files that exist below it win over those
    /// that the same path names outside, because that is what a chrooted smtpd would see.
    package var chrootDirectory: String?
    /// Defaults of `sasl_server_new`, for requests that do not bring their own.
    package var service: String
    package var serverName: String
    package var localDomain: String

    package init(
        application: String = "smtpd",
        configPath: String = "",
        configDirectory: String,
        chrootDirectory: String? = nil,
        service: String = "smtp",
        serverName: String,
        localDomain: String = ""
    ) {
        self.application = application
        self.configPath = configPath
        self.configDirectory = configDirectory
        self.chrootDirectory = chrootDirectory
        self.service = service
        self.serverName = serverName
        self.localDomain = localDomain
    }
}

extension CyrusProfile {
    /// Where the library looks for `application.conf`: `cyrus_sasl_config_path`, then as Debian's Postfix does, then as others do
    /// (a vanilla libsasl2 reads /etc/sasl2).
    package var searchPath: [String] {
        configPath.split(separator: ":").map(String.init) + ["\(configDirectory)/sasl", "/usr/lib/sasl2", "/etc/sasl2"]
    }

    /// The file the library takes: the first on ``searchPath`` that can be read. nil when there is none, which means defaults.
    package func configurationFile() -> SASLConfigurationFile? {
        for directory in searchPath {
            let path = "\(directory)/\(application).conf"
            if let text = readSmallFile(path) { return SASLConfigurationFile(path: path, text: text) }
        }
        return nil
    }

    /// The sasldb that the workers open: the one below the chroot directory if there is one.
    package var sasldbPath: String {
        let path = (configurationFile() ?? SASLConfigurationFile(path: "", text: "")).sasldbPath
        return SASLBackEndProbe.candidates(path, chroot: chrootDirectory).first { fileExists($0) } ?? path
    }
}
