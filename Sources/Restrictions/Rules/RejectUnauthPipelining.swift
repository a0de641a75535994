import SMTPCore

/// `reject_unauth_pipelining`: the client has sent commands ahead where it must not.
struct RejectUnauthPipelining: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard run.facts.pipelinedImproperly else { return .dunno }
        return .reject(run.rejection(503, EnhancedStatusCode(5, 5, 0), "Improper use of SMTP command pipelining"))
    }
}
