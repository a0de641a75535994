import SMTPCore

/// `defer_if_permit`: refuse for now what nothing else rejects.
struct DeferIfPermit: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        .deferIfPermit(run.rejection(450, EnhancedStatusCode(4, 7, 0), "defer_if_permit requested"))
    }
}
