import SMTPCore

/// `reject_plaintext_session`: no TLS.
struct RejectPlaintextSession: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        if run.facts.tlsActive { return .dunno }
        return .reject(Replies.make(run.environment.codes.plaintext, EnhancedStatusCode(5, 7, 1), "Session encryption is required"))
    }
}
