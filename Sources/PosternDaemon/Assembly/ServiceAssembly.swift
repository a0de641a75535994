import Authentication
import Resolver
import Restrictions
import Routing
import SMTPCore
import Settings
import Submission
import TLS
import Tables

/// The parts of one smtpd service that are made from files: built by `postern check` to find every problem, and by the smtpd role, while it
/// may still read those files, to serve.
struct ServiceAssembly {
    let settings: ServiceSettings
    let policy: SessionPolicy
    /// nil when TLS is off, or when no certificate is configured.
    let tls: TLSContext?
    let rules: RestrictionEvaluator
    let router: AddressRouter
    let fastFlush: DomainList
    /// What sessions get while the server is short of them; nil when the configuration sets `stress` itself.
    let stressed: (policy: SessionPolicy, rules: RestrictionEvaluator)?

    /// Builds the parts. `main` is main.cf without the service's overrides. Every finding goes to `diagnostics`; nil if one of them is an error.
    init?(
        _ settings: ServiceSettings,
        main: ServiceSettings,
        tables: TableRegistry,
        ownAddresses: [IPAddress],
        names: any NameService,
        diagnostics: inout [Diagnostic]
    ) {
        self.settings = settings
        var failed = false
        tls = Self.serverTLS(settings, &diagnostics, &failed)
        var problems = ProblemCollector()
        let router = problems.collect(try AddressRouter(settings: settings, tables: tables, ownAddresses: ownAddresses))
        problems.add(router?.warnings ?? [])
        func decider(_ settings: ServiceSettings) -> Decider? {
            let policy = problems.collect(try SessionPolicy(settings, tables: tables, ownAddresses: OwnAddresses(ownAddresses)))
            let rules = problems.collect(try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: names))
            guard let policy, let rules else { return nil }
            return (policy, rules)
        }
        let fastFlush = problems.collect(try DomainList(fastFlush: main, tables: tables))
        let usual = decider(settings)
        problems.add(usual?.rules.warnings ?? [])
        var stressed: Decider?
        if settings.text("stress").isEmpty {
            stressed = settings.overriding(["stress": "yes"], problems: &diagnostics).flatMap(decider)
            if stressed == nil { failed = true }
        }
        diagnostics += problems.diagnostics
        guard !failed, !problems.hasErrors, let router, let fastFlush, let usual else { return nil }
        self.router = router
        self.fastFlush = fastFlush
        (policy, rules) = usual
        self.stressed = stressed
    }

    /// What the sessions of a service go by.
    private typealias Decider = (policy: SessionPolicy, rules: RestrictionEvaluator)

    private static func serverTLS(_ settings: ServiceSettings, _ diagnostics: inout [Diagnostic], _ failed: inout Bool) -> TLSContext? {
        guard ServerTLSLevel(settings) != .none else { return nil }
        let configuration = TLSServerConfiguration(settings)
        guard configuration.hasCertificate else {
            let wrapper = settings.bool("smtpd_tls_wrappermode")
            let parameter = wrapper ? "smtpd_tls_wrappermode" : "smtpd_tls_security_level"
            let location = settings.location(of: parameter)
            if ServerTLSLevel(settings) == .encrypt {
                // Nobody could ever send mail here: refuse to start rather than to serve 454 for months.
                diagnostics.append(
                    Diagnostic(.error, "TLS is required, but no server certificate is configured (smtpd_tls_chain_files)", at: location)
                )
                failed = true
            } else {
                diagnostics.append(Diagnostic(.warning, "No server certs available. TLS won't be enabled", at: location))
            }
            return nil
        }
        do {
            let context = try TLSContext.server(configuration)
            diagnostics += context.warnings.map {
                Diagnostic(.warning, $0.text, at: settings.location(of: $0.setting.parameter(prefix: "smtpd")))
            }
            return context
        } catch {
            failed = true
            diagnostics += error.problems.map {
                Diagnostic(.error, $0.text, at: settings.location(of: $0.setting.parameter(prefix: "smtpd")))
            }
            return nil
        }
    }
}
