package import Authentication
package import MailLog
package import Resolver
package import Restrictions
package import Routing
package import TLS
package import Tables

/// One smtpd service of master.cf, ready to serve: its parameters parsed once, and the rooms its sessions ask. Immutable and shared by all
/// loops; sessions are started with ``startSession(on:service:executor:handOff:)``.
package final class SubmissionService: Sendable {
    package let policy: SessionPolicy
    let tls: TLSContext?
    let authenticator: (any Authenticator)?
    let rules: RestrictionEvaluator
    let router: AddressRouter
    let names: any NameService
    let logSink: any LogSink
    /// The tag of lines that Postfix's cleanup(8) would write, which does not see a service's `-o syslog_name`.
    let cleanupTag: String
    /// `fast_flush_domains`: whose mail ETRN may start. That of main.cf, as flush(8) has it, whatever a service overrides.
    let fastFlush: DomainList
    /// Sessions of this process, for a graceful stop; shared by all its services.
    package let registry: SessionRegistry
    /// Connection counts and rates per client, shared by all services of the process (anvil(8)).
    let limits: ClientLimits
    /// The same service with `stress = yes`, for sessions that start while the server is short of them; nil when the configuration sets
    /// `stress` itself.
    let stressed: SubmissionService?

    /// - Parameters:
    ///   - stressed: has the same arguments, but policy and rules for `stress = yes`.
    ///   - tls: nil when TLS is off, or when its certificates could not be loaded (STARTTLS then answers 454).
    ///   - authenticator: nil when `smtpd_sasl_auth_enable = no`.
    ///   - fastFlush: `fast_flush_domains` without the service's overrides.
    ///   - cleanupTag: `$syslog_name/cleanup` without the service's overrides.
    package init(
        policy: SessionPolicy,
        tls: TLSContext?,
        authenticator: (any Authenticator)?,
        rules: RestrictionEvaluator,
        router: AddressRouter,
        names: any NameService,
        logSink: any LogSink,
        fastFlush: DomainList,
        cleanupTag: String = "postfix/cleanup",
        registry: SessionRegistry,
        limits: ClientLimits,
        stressed: SubmissionService? = nil
    ) {
        self.policy = policy
        self.tls = tls
        self.authenticator = authenticator
        self.rules = rules
        self.router = router
        self.names = names
        self.logSink = logSink
        self.fastFlush = fastFlush
        self.cleanupTag = cleanupTag
        self.registry = registry
        self.limits = limits
        self.stressed = stressed
    }

    /// The service to start a session with now: this one, or its `stressed` form.
    func forNewSession() -> SubmissionService {
        guard let stressed else { return self }
        let (isStressed, hasChanged) = registry.stress()
        if hasChanged {
            let log = MailLog(sink: logSink, tag: policy.syslogTag, processID: 0)
            let count = "\(registry.count) of \(registry.sessionLimit) sessions (smtpd_connection_limit) are in use"
            if isStressed {
                log.warning("\(count): new sessions are served with stress = yes")
            } else {
                log.info("\(count): new sessions are served without stress again")
            }
        }
        return isStressed ? stressed : self
    }
}
