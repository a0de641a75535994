import Tables

/// `permit_sasl_authenticated`: the client has logged in, other than anonymously.
struct PermitSASLAuthenticated: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard run.environment.saslIsEnabled, let method = run.facts.saslMethod, DomainName.folded(method) != "anonymous" else {
            return .dunno
        }
        return .permit
    }
}
