import SMTPCore

/// `reject_multi_recipient_bounce`: a bounce has one recipient.
struct RejectMultiRecipientBounce: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard run.facts.sender?.isNull == true else { return .dunno }
        // At RCPT the recipient at hand is not counted yet.
        let limit = run.stage == .rcpt ? 0 : 1
        guard run.facts.recipientCount > limit else { return .dunno }
        return .reject(run.rejection(run.environment.codes.multiRecipientBounce, EnhancedStatusCode(5, 5, 3), "Multi-recipient bounce"))
    }
}
