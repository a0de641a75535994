/// Whether a role still works: it is asked now and then, and answers when each of its event loops has turned.
///
/// Looks without an answer are counted, not seconds: a time in which the whole machine stood still counts as one.
struct Heartbeat: Sendable, Hashable {
    /// Looks without an answer after which a role is said not to respond.
    static let patience = 3
    /// Looks without an answer after which the smtpd role is killed.
    static let limit = 9

    /// Ask again; it does not respond (found once); it has not for so long that it will not.
    enum Finding: Sendable, Hashable { case ask, silent, lost }

    private var isAsked = false
    private var misses = 0
    /// Monotonic seconds of the next look.
    private(set) var lookAt = 0.0

    var isSilent: Bool { misses >= Self.patience }

    /// What there is to do at this time, if anything.
    mutating func look(at now: Double, every interval: Double) -> Finding? {
        guard now >= lookAt else { return nil }
        lookAt = now + interval
        if !isAsked {
            isAsked = true
            return .ask
        }
        // Not asked again: questions that nobody reads must not fill the channel.
        misses += 1
        return misses == Self.patience ? .silent : misses >= Self.limit ? .lost : nil
    }

    /// True when this ends a silence.
    mutating func answered() -> Bool {
        defer { (isAsked, misses) = (false, 0) }
        return isSilent
    }
}
