import MailLog
import SMTPCore
import Settings
import TLS

/// Reads the configuration for the supervisor: whether it passes, and the little the supervisor must know of it. Ends at once.
enum PlanRole {
    static func run(configurationDirectory: String, control: ControlChannel) {
        let check = StartupCheck(configurationDirectory: configurationDirectory)
        guard check.passes, let plan = ServerPlan(check) else {
            for line in check.report(verbose: false) { control.send(.plan(ServerPlan.finding(line))) }
            control.send(.plan(ServerPlan.end(passes: false)))
            return
        }
        for record in plan.records { control.send(.plan(record)) }
    }
}

extension ServerPlan {
    /// nil without a configuration.
    init?(_ check: StartupCheck) {
        guard let configuration = check.configuration else { return nil }
        self.init()
        let main = configuration.main
        queueDirectory = main.text("queue_directory")
        for service in configuration.smtpdServices {
            endpoints += service.endpoints.map {
                Endpoint(service: service.name, address: $0.address, port: $0.port, location: "\(service.location)")
            }
        }
        workersPerProfile = SASLProfiles(configuration).cyrus.map { _ in main.integer("smtpd_sasl_worker_limit") }
        let files = WatchedFiles(configuration)
        watched = files.all
        queueFingerprint = files.fingerprint
        findings = check.report(verbose: false)
        for file in files.certificates {
            guard let first = try? TLSCertificateFile.read(file).first else { continue }
            certificates.append(Certificate(file: file, expires: first.notAfter))
        }
    }
}

/// The files that a configuration names.
struct WatchedFiles {
    private(set) var all: [String] = []
    /// Of the servers.
    private(set) var certificates: [String] = []
    /// What the queue role reads, as it is now.
    private(set) var fingerprint = ""

    /// More files than this are not watched.
    private static let limit = 2000
    /// Written by programs as they work, or never read by us.
    private static let excluded: Set<String> = ["maillog_file", "address_verify_map", "tls_random_source", "tls_random_exchange_name"]
    private static let certificateParameters = ["smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_chain_files"]

    init(_ configuration: Configuration) {
        let servers = configuration.smtpdServices.map { configuration.settings(for: $0) }
        let views = [configuration.main] + configuration.services.map(\.settings)
        // The client's keys and tables are the queue role's, the server's are not.
        let serverOnly = Set(servers.flatMap { Self.files(in: $0) { $0.hasPrefix("smtpd_tls_") } })
        let named = Set(views.flatMap { Self.files(in: $0) { _ in true } })
        all = Array((named.union(configuration.files)).sorted().prefix(Self.limit))
        let names = Set(servers.flatMap { settings in Self.certificateParameters.flatMap(settings.list) })
        certificates = names.filter { $0.hasPrefix("/") }.sorted()
        let system = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/localtime"]
        let queueFiles = all.filter { !serverOnly.contains($0) } + system
        fingerprint = Self.hash(queueFiles.map { "\($0)=\(FileIdentity($0).text)" }.joined(separator: "\n"))
    }

    private static func files(in settings: ServiceSettings, _ isWanted: (String) -> Bool) -> [String] {
        var out: [String] = []
        for row in ParameterTable.all where isWanted(row.name) && !settings.isDefault(row.name) {
            guard !excluded.contains(row.name), !row.name.hasSuffix("_cache_database") else { continue }
            for word in settings.text(row.name).split(whereSeparator: { " \t\n,{}".contains($0) }) {
                // `type:/file` of a table, `/file` of a list or a key.
                let path = word.drop { $0 != "/" }
                let type = word.prefix(word.count - path.count)
                guard path.count > 1, type.isEmpty || (type.hasSuffix(":") && type.dropLast().allSatisfy { $0.isLetter || $0.isNumber })
                else { continue }
                if FileIdentity.isRegularFile(String(path)) { out.append(String(path)) }
            }
        }
        return out
    }

    /// FNV-1a, 64 bits: to tell states of files apart, not to keep anybody from anything.
    private static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return String(hash, radix: 16)
    }
}
