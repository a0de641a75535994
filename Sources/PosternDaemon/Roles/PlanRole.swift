import MailLog
import SMTPCore
import Settings
import TLS

/// Reads the configuration for the supervisor: whether it passes, and the little the supervisor must know of it. Ends at once.
enum PlanRole {
    static func run(configurationDirectory: String, control: ControlChannel) {
        let check = StartupCheck(configurationDirectory: configurationDirectory)
        // One that fails, too, names files, whose mending is to be noticed.
        var plan = ServerPlan(check) ?? ServerPlan()
        plan.findings = check.report(verbose: false)
        for record in plan.records(passes: check.passes) { control.send(.plan(record)) }
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
        heartbeat = Int(main.duration("role_heartbeat_time").components.seconds)
        let files = WatchedFiles(configuration, check.tableFiles)
        watched = files.all
        directories = Set(watched.flatMap(SymbolicLink.directories)).sorted()
        queueFingerprint = files.fingerprint
        findings = check.report(verbose: false)
        for file in files.certificates {
            guard let first = try? TLSCertificateFile.read(file).first else { continue }
            certificates.append(Certificate(file: file, expires: first.notAfter))
        }
    }
}
