package import NIOCore
package import SMTPCore

/// A message to be put in the queue, content complete and in memory.
package struct IncomingMessage: Sendable {
    /// From ``Spool/reserveQueueIDs(_:completion:)``; used for one message only.
    package var id: QueueID
    package var envelope: Envelope
    /// CRLF line ends, not dot-stuffed.
    package var content: ByteBuffer
    /// Seconds since 1970.
    package var arrival: Double

    package init(id: QueueID, envelope: Envelope, content: ByteBuffer, arrival: Double) {
        self.id = id
        self.envelope = envelope
        self.content = content
        self.arrival = arrival
    }
}

/// Learns what became of one accept.
package protocol AcceptReceipt: AnyObject, Sendable {
    /// Success means: message and envelope are on stable storage. Called exactly once, on a thread of the spool, which must not be blocked;
    /// all receipts of one flush are completed in one go.
    func completed(_ result: Result<Void, SpoolError>)
}

/// What the log and `status` hear from the spool. Called on threads of the spool; must not block.
package protocol SpoolObserver: AnyObject, Sendable {
    func spoolEvent(_ event: SpoolEvent)
}

/// Something the administrator, or the log, should know.
package enum SpoolEvent: Sendable {
    /// Handed to the delivery agent: `ID: from=<sender>, size=size, nrcpt=recipients (queue active)`.
    case activated(id: QueueID, sender: Address, size: Int, recipientCount: Int)
    /// Durably gone, after delivery, bounce or by the administrator: `ID: removed`.
    case removed(QueueID)
    /// A report came that answers no job; it was ignored.
    case strayReport(QueueID)
    /// A write or flush failed; the segment is abandoned and another one begun.
    case segmentAbandoned(String)
    /// Nothing can be written at all. New mail is refused until ``acceptingResumed``.
    case acceptingStopped(String)
    case acceptingResumed
    /// Part of the journal, or a content file, is unreadable. Nothing is deleted from the disk while this stands.
    case damaged(String)
    /// The administrator knows of it from now on.
    case damageAcknowledged(String)
    /// Nothing expires: the clock is behind the newest record, or has jumped.
    case clockNotTrusted(String)
    /// The process before this one did not close the queue: so many messages may have been in delivery.
    case interrupted(Int)
    /// The process before this one failed while it was working on the message.
    case crashed(QueueID, signal: Int)
    /// That happened twice: the message has been put on hold.
    case poisonous(QueueID)
    /// Housekeeping failed and is tried again later.
    case housekeepingFailed(String)
}

/// What an administrator asks for.
package enum QueueOperation: Sendable, Hashable {
    /// No delivery until released (`postsuper -h`).
    case hold
    /// Ends a hold (`postsuper -H`).
    case release
    /// Ends a hold, forgets the back-off and tries at once (`postsuper -r`); the queue id stays.
    case requeue
    /// Tries deferred messages at once (`postqueue -f`, `postqueue -i`).
    case flush
    /// Removes without a bounce (`postsuper -d`).
    case delete
}

/// Which messages an operation is for.
package enum QueueSelection: Sendable, Hashable {
    case all
    case message(QueueID)
}

/// The state of the queue in numbers.
package struct SpoolStatus: Sendable, Hashable {
    package var active = 0
    package var deferred = 0
    package var held = 0
    /// Waiting for a place among the active.
    package var ready = 0
    /// Accepted, and of their records no more than the id can be read.
    package var quarantined = 0
    package var journalBytes = 0
    package var segments = 0
    package var isAccepting = true
    package var clockIsTrusted = true
    /// One line for each damaged place found that has not been acknowledged.
    package var damages: [String] = []
    /// The number of those that have been.
    package var acknowledgedDamages = 0
    /// Flushes of the journal and messages accepted since the start, for the ratio.
    package var flushes = 0
    package var accepted = 0

    package init() {}
}
