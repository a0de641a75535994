package import SMTPCore

/// One message as `queue list` shows it.
package struct QueueListing: Sendable, Hashable {
    /// Postfix's queue names.
    package enum State: String, Sendable, Hashable {
        case active, deferred, hold
    }

    package struct Recipient: Sendable, Hashable {
        package var address: Address
        /// Why the last attempt failed; empty before the first one.
        package var delayReason: String

        package init(address: Address, delayReason: String = "") {
            self.address = address
            self.delayReason = delayReason
        }
    }

    package var id: QueueID
    package var state: State
    /// Bytes of content.
    package var size: Int
    /// Seconds since 1970.
    package var arrival: Double
    package var sender: Address
    /// Those not yet served.
    package var recipients: [Recipient]
    /// Attempts made.
    package var attempts: Int
    /// Seconds since 1970; meaningful when deferred.
    package var nextAttempt: Double
    /// Why the queue itself keeps the message from being delivered; empty if it does not.
    package var note: String
    /// It has been reported that the message waits (`delay_warning_time`).
    package var isToldOfDelay: Bool

    package init(
        id: QueueID,
        state: State,
        size: Int,
        arrival: Double,
        sender: Address,
        recipients: [Recipient],
        attempts: Int = 0,
        nextAttempt: Double = 0,
        note: String = "",
        isToldOfDelay: Bool = false
    ) {
        self.id = id
        self.state = state
        self.size = size
        self.arrival = arrival
        self.sender = sender
        self.recipients = recipients
        self.attempts = attempts
        self.nextAttempt = nextAttempt
        self.note = note
        self.isToldOfDelay = isToldOfDelay
    }
}
