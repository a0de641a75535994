import SMTPCore

/// Who hears, after an attempt, that a message waits (`delay_warning_time`, RFC 3461 section 4.1).
enum DelayDecision: Sendable, Hashable {
    case none
    /// Places in the envelope of the recipients that the sender, and the postmaster, are told of; at least one of the lists is not empty.
    case tell(sender: [Int], postmaster: [Int])
    /// The message is a notice to the postmaster: nobody hears of it, and the log says so.
    case discard

    /// Once for each message, and only after an attempt that has left someone.
    ///
    /// - Parameters:
    ///   - waiting: places of the recipients that are to be tried again.
    ///   - age: seconds, by a clock that can be trusted; negative where none can.
    ///   - isTold: this decision has been made for the message before.
    init(about waiting: [Int], of envelope: Envelope, age: Double, isTold: Bool, _ settings: BounceSettings) {
        self = .none
        guard settings.delayWarningTime > 0, age >= settings.delayWarningTime, !isTold, !waiting.isEmpty, !envelope.sender.isNull else {
            return
        }
        if envelope.sender == settings.doubleBounceSender {
            self = .discard
            return
        }
        let sender = waiting.filter { envelope.recipients[$0].wantsDelayNotice }
        let postmaster = settings.delayNoticeRecipient == nil ? [] : waiting
        if !sender.isEmpty || !postmaster.isEmpty { self = .tell(sender: sender, postmaster: postmaster) }
    }
}
