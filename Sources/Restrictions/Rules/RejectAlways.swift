import SMTPCore

/// `reject`: `<X>: CLASS rejected: Access denied` with `reject_code`.
struct RejectAlways: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        .reject(run.rejection(run.environment.codes.reject, EnhancedStatusCode(5, 7, 1), "Access denied"))
    }
}
