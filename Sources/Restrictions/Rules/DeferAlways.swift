import SMTPCore

/// `defer`: `<X>: CLASS rejected: Try again later` with `defer_code`.
struct DeferAlways: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        .reject(run.rejection(run.environment.codes.deferral, EnhancedStatusCode(4, 3, 2), "Try again later"))
    }
}
