import SMTPCore

/// `defer_if_reject`: turn a later permanent rejection of this list into a temporary one.
struct DeferIfReject: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        .deferIfReject(run.rejection(450, EnhancedStatusCode(4, 7, 0), "defer_if_reject requested"))
    }
}
