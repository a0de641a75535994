package import Authentication
package import MailLog
package import Resolver
package import Settings

/// One smtpd service of master.cf, ready to serve: its parameters parsed once, and the rooms its sessions ask. Immutable and shared by all
/// loops; sessions are started with ``startSession(on:service:executor:handOff:)``.
package final class SubmissionService: Sendable {
    package let policy: SessionPolicy
    let tls: (any ServerTLS)?
    let authenticator: (any Authenticator)?
    let rules: any SessionRules
    let router: any EnvelopeRouter
    let names: any NameService
    let logSink: any LogSink
    /// Sessions of this process, for a graceful stop; shared by all its services.
    package let registry: SessionRegistry
    /// Connection counts and rates per client, shared by all services of the process (anvil(8)).
    let limits: ClientLimits

    /// - Parameters:
    ///   - tls: nil when TLS is off, or when its certificates could not be loaded (STARTTLS then answers 454).
    ///   - authenticator: nil when `smtpd_sasl_auth_enable = no`.
    /// - Throws: ``ServiceProblems`` with every parameter that cannot be honoured.
    package init(
        settings: ServiceSettings,
        tls: (any ServerTLS)?,
        authenticator: (any Authenticator)?,
        rules: any SessionRules,
        router: any EnvelopeRouter,
        names: any NameService,
        logSink: any LogSink,
        registry: SessionRegistry,
        limits: ClientLimits
    ) throws(ServiceProblems) {
        self.policy = try SessionPolicy(settings)
        self.tls = tls
        self.authenticator = authenticator
        self.rules = rules
        self.router = router
        self.names = names
        self.logSink = logSink
        self.registry = registry
        self.limits = limits
    }
}

/// Why a service cannot be served as configured; each finding says where.
package struct ServiceProblems: Error, Sendable, Hashable {
    package let diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }
}
