import Authentication
import Glibc
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import Resolver
import SMTPCore
import Settings
import Submission
import Tables

/// The smtpd role: all listeners, all sessions, one event loop per core. Unprivileged; holds neither the queue nor the relay's passwords.
final class SMTPDRole {
    private let environment: RoleEnvironment
    private let assemblies: [String: ServiceAssembly]
    private let resolver: RoleEnvironment.ResolverSetup
    private let names = DeferredNameService()
    private let registry: SessionRegistry

    /// Opens everything that is read from files; the process may still be root.
    init(_ environment: RoleEnvironment) throws {
        self.environment = environment
        registry = SessionRegistry(limit: Self.connectionLimit(environment.main.integer("smtpd_connection_limit")))
        resolver = try environment.resolver()
        let tables = TableRegistry()
        var assemblies: [String: ServiceAssembly] = [:]
        var diagnostics: [Diagnostic] = []
        for service in environment.configuration.smtpdServices {
            assemblies[service.name] = ServiceAssembly(
                environment.configuration.settings(for: service),
                main: environment.main,
                tables: tables,
                ownAddresses: environment.configuration.ownAddresses,
                names: names,
                diagnostics: &diagnostics
            )
        }
        if let error = diagnostics.first(where: { $0.severity == .error }) { throw RoleFailure(error.description) }
        self.assemblies = assemblies
    }

    /// `smtpd_connection_limit`; 0 means as many as descriptors allow, less what the process needs besides.
    private static func connectionLimit(_ configured: Int) -> Int {
        let possible = max(1, DescriptorLimit.current - 128)
        return configured > 0 ? min(configured, possible) : possible
    }

    /// As on stock Debian: one service with `y` in the chroot column is enough, all services being served by one process.
    private var chroot: String? {
        environment.configuration.smtpdServices.contains(where: \.chroot) ? environment.main.text("queue_directory") : nil
    }

    /// No file is in reach afterwards: a session that was taken over finds neither the queue nor a key nor an account.
    func confine() throws -> Confinement.Report {
        try Confinement(
            account: environment.smtpdOwner(),
            chroot: chroot,
            reach: .nothing,
            secrets: environment.secretFiles
        ).apply()
    }

    func run(_ control: ControlChannel) throws {
        let report = try confine()
        environment.log.onLoss { control.send(.reopenLog) }
        environment.announce(report, to: control, program: "smtpd", warnings: resolver.warnings)
        let server = try SMTPDServer(
            environment: environment,
            assemblies: assemblies,
            resolverConfiguration: resolver.configuration,
            names: names,
            registry: registry,
            isChrooted: report.chroot != nil
        )
        var duty = SMTPDDuty(
            control: control,
            server: server,
            log: environment.log,
            notes: environment.mailLog(environment.main, program: "smtpd"),
            anvil: environment.mailLog(environment.main, program: "anvil"),
            drainTime: Double(environment.main.duration("smtpd_drain_time").components.seconds),
            statusInterval: Double(max(1, environment.main.duration("anvil_status_update_time").components.seconds))
        )
        duty.run()
    }
}
