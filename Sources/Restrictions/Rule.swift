import SMTPCore

/// One restriction. A rule looks at the facts and concludes; it changes nothing but the evaluation's notes for the trace.
protocol Rule: Sendable {
    func evaluate(_ run: Evaluation) async -> Verdict
}

/// What one rule concluded.
enum Verdict: Sendable {
    /// No opinion: the next restriction decides.
    case dunno
    /// Ends this list.
    case permit
    /// Ends the evaluation, unless `warn_if_reject` stands before the restriction.
    case reject(Reply)
    /// A failure of our own surroundings (table, configuration): ends the evaluation whatever stands before it.
    case failure(Reply)
    /// Ends the session without a word (`HANGUP`).
    case hangUp
    /// Refuse at the end if nothing else has.
    case deferIfPermit(Reply)
    /// Replace a later permanent rejection of the same list.
    case deferIfReject(Reply)
    /// A restriction class, or restrictions that a table returned.
    case evaluate(RestrictionList)
    /// The same, about what the table was asked.
    case evaluateAbout(AccessSubject, RestrictionList)
    /// Worth a line in the trace, then as `.dunno` (`HOLD`, `PREPEND`, `WARN`).
    case acted(String)
    /// As `.acted`, then as `.permit` (`DISCARD`).
    case actedAndPermitted(String)
}
