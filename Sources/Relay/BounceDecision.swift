import SMTPCore

/// Who hears of a message that cannot be delivered (RFC 5321 section 6.1; bounce(8)).
enum BounceDecision: Sendable, Hashable {
    case toSender
    /// The message came from nobody: a bounce of a bounce, for the postmaster.
    case toPostmaster
    /// Nobody: the end of the line.
    case drop
    /// A notice to the postmaster failed; nobody, and the log says so.
    case discardNotice

    init(sender: Address, settings: BounceSettings) {
        if sender == settings.doubleBounceSender {
            self = .discardNotice
        } else if sender.isNull {
            self = settings.notifiesDoubleBounces ? .toPostmaster : .drop
        } else {
            self = .toSender
        }
    }
}
