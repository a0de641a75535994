import Authentication
import Glibc
import MailLog
import Resolver
import SMTPCore
import Settings

/// One role's life: open what it needs while still root, become `mail_owner`, report ready, then obey the supervisor.
package enum RoleMain {
    /// Runs the role on control descriptor 3 until told to stop; returns the process's exit status.
    /// - Parameter state: for the plan role of an upgrade: what the new program would have to take over.
    package static func run(_ role: Role, configurationDirectory: String, state: CInt? = nil) -> CInt {
        let control = ControlChannel(descriptor: ControlChannel.roleDescriptor)
        _ = fcntl(control.descriptor, F_SETFD, FD_CLOEXEC)
        if role == .plan {
            if let state, Supervisor.readState(state) == nil {
                control.send(
                    .plan(ServerPlan.finding("version \(PosternVersion.number) cannot take over from the running one: stop and start"))
                )
                control.send(.plan(ServerPlan.end(passes: false)))
                return 1
            }
            PlanRole.run(configurationDirectory: configurationDirectory, control: control)
            return 0
        }
        do {
            let environment = try RoleEnvironment(configurationDirectory: configurationDirectory)
            switch role {
            case .smtpd: try SMTPDRole(environment).run(control)
            case .queue: try QueueRole(environment).run(control)
            case .plan: break
            case .authentication(let profile, _): try AuthenticationRole(environment, profile: profile).run(control)
            }
            environment.log.flush()
            return 0
        } catch {
            control.send(.failed("\(error)"))
            return 1
        }
    }
}

/// What every role begins with.
struct RoleEnvironment {
    let configuration: Configuration
    let log: LogWriter
    let owner: Account

    init(configurationDirectory: String) throws {
        let (loaded, diagnostics) = Configuration.load(directory: configurationDirectory)
        guard let configuration = loaded, !diagnostics.contains(where: { $0.severity == .error }) else {
            throw RoleFailure(diagnostics.first { $0.severity == .error }?.description ?? "the configuration cannot be loaded")
        }
        self.configuration = configuration
        log = try LogWriter(LogDestination(configuration.main), hostName: configuration.main.text("myhostname"))
        owner = try Account.owner(configuration.main)
    }

    var main: ServiceSettings { configuration.main }

    /// Whom the smtpd role becomes: `smtpd_owner`, which then cannot read the queue, else `mail_owner`.
    func smtpdOwner() throws -> Account {
        let name = main.text("smtpd_owner")
        guard Account.isRoot, !name.isEmpty else { return owner }
        guard let account = Account(named: name) else { throw RoleFailure("smtpd_owner = \(name): no such user") }
        return account
    }

    /// resolv.conf and hosts, read while they are in reach. What they lack is not logged at once: that would start a thread.
    struct ResolverSetup {
        let configuration: ResolverConfiguration
        let warnings: [String]
    }

    func resolver() throws -> ResolverSetup {
        var warnings: [String] = []
        let configuration = try ResolverConfiguration.read(warnings: &warnings)
        return ResolverSetup(configuration: configuration, warnings: warnings)
    }

    /// Files whose groups a role that does not need them is not in: the accounts, the server's keys, the system's passwords.
    var secretFiles: [String] {
        var files = ["/etc/shadow"] + SASLProfiles(configuration).cyrus.map(\.sasldbPath)
        for service in configuration.smtpdServices {
            let settings = configuration.settings(for: service)
            files += ["smtpd_tls_key_file", "smtpd_tls_eckey_file"].map(settings.text) + settings.list("smtpd_tls_chain_files")
        }
        return files.filter { $0.hasPrefix("/") }
    }

    /// The first lines of a role, once threads may exist: what it found, and what it has given up.
    func announce(_ report: Confinement.Report, to control: ControlChannel, program: String, warnings: [String] = []) {
        control.send(.confined("\(report)"))
        let log = mailLog(main, program: program)
        for warning in warnings { log.warning(warning) }
        log.info("\(report)")
        for gap in report.gaps { log.warning(gap) }
    }

    /// `postfix` or what `syslog_name` says.
    func mailLog(_ settings: ServiceSettings, program: String) -> MailLog {
        MailLog(sink: log, tag: "\(settings.text("syslog_name"))/\(program)", processID: Int(getpid()))
    }
}

/// A role cannot do its work; the text is for the administrator.
struct RoleFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

extension Account {
    /// `mail_owner`; without root, whoever we are.
    static func owner(_ settings: ServiceSettings) throws(RoleFailure) -> Account {
        guard isRoot else { return current }
        let name = settings.text("mail_owner")
        if let account = Account(named: name) { return account }
        throw RoleFailure("mail_owner = \(name): no such user")
    }
}

extension LogDestination {
    /// `maillog_file`, else syslog.
    init(_ settings: ServiceSettings) {
        self.init(file: settings.text("maillog_file"), facility: settings.text("syslog_facility"))
    }

    init(file: String, facility: String) {
        switch file {
        case "": self = .syslog(facility: Self.facilities[facility.lowercased()] ?? 2)
        case "/dev/stdout": self = .standardOutput
        default: self = .file(file)
        }
    }

    private static let facilities = [
        "kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9, "authpriv": 10,
        "ftp": 11, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
    ]
}
