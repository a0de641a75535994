package import NIOCore
package import SMTPCore

/// The state of one recipient of a queued message after a delivery attempt.
package enum RecipientOutcome: Sendable, Hashable {
    case delivered
    /// Try again; the text is what `queue list` shows (`connect to mx[192.0.2.1]:25: Connection refused`).
    case deferred(String)
    /// Given up: covered by a bounce, or nothing more to be said (null sender).
    case bounced(String)
}

/// A message as the relay gets it.
package struct DeliveryJob: Sendable {
    package var id: QueueID
    /// Only the recipients still to be served.
    package var envelope: Envelope
    package var content: any MessageContent
    /// Seconds since 1970, as the message was accepted.
    package var arrival: Double
    /// Delivery attempts already made.
    package var attempts: Int
    /// Older than `maximal_queue_lifetime` (`bounce_queue_lifetime` for the null sender) by a clock that can be trusted: what this attempt
    /// cannot deliver is given up.
    package var isExpired: Bool
    /// The queue role ended while this message was being delivered: a delivery may be a duplicate, and the log says so.
    package var mayBeDuplicate: Bool
    /// From when its age counts, seconds since 1970: its arrival, or a later jump of the clock; infinity while the clock cannot be trusted.
    package var agesFrom: Double
    /// An earlier report has told of its delay (``DeliveryReport/tellsOfDelay``).
    package var isToldOfDelay: Bool

    package init(
        id: QueueID,
        envelope: Envelope,
        content: any MessageContent,
        arrival: Double,
        attempts: Int = 0,
        isExpired: Bool = false,
        mayBeDuplicate: Bool = false,
        agesFrom: Double? = nil,
        isToldOfDelay: Bool = false
    ) {
        self.id = id
        self.envelope = envelope
        self.content = content
        self.arrival = arrival
        self.attempts = attempts
        self.isExpired = isExpired
        self.mayBeDuplicate = mayBeDuplicate
        self.agesFrom = agesFrom ?? arrival
        self.isToldOfDelay = isToldOfDelay
    }
}

/// Where a message's bytes are: CRLF line ends, not dot-stuffed.
package protocol MessageContent: Sendable {
    var size: Int { get }
    /// Content that is still in memory: the relay sends it without touching the disk. nil when it must be read.
    var inMemory: ByteBuffer? { get }
    /// Up to `length` bytes from `offset`; blocking, so call it on a thread that may wait. Throws on a read error or bad checksum.
    func read(offset: Int, length: Int) throws -> ByteBuffer
}

/// A message made by the server itself (a bounce, a notice to the postmaster), small enough to be held in memory.
package struct GeneratedMessage: Sendable {
    package var id: QueueID
    package var envelope: Envelope
    package var content: ByteBuffer

    package init(id: QueueID, envelope: Envelope, content: ByteBuffer) {
        self.id = id
        self.envelope = envelope
        self.content = content
    }
}

/// What one delivery attempt came to.
package struct DeliveryReport: Sendable {
    package var id: QueueID
    /// One entry for each recipient of the job, in the job's order.
    package var outcomes: [RecipientOutcome]
    /// What has to be said about them. Become durable together with the outcomes, in one batch, or not at all.
    package var bounces: [GeneratedMessage]
    /// One of them tells that the message waits. Later jobs of this message say so.
    package var tellsOfDelay: Bool

    package init(id: QueueID, outcomes: [RecipientOutcome], bounces: [GeneratedMessage] = [], tellsOfDelay: Bool = false) {
        self.id = id
        self.outcomes = outcomes
        self.bounces = bounces
        self.tellsOfDelay = tellsOfDelay
    }
}

/// The relay's view of the spool. Any thread may call.
package protocol DeliveryLedger: AnyObject, Sendable {
    /// New mail is refused for want of space: what need not be written now should wait.
    var storageIsShort: Bool { get }
    /// A fresh id for a bounce; waits for a flush if one is needed, and no longer than that takes.
    func reserveQueueID() async throws -> QueueID
    /// Takes the report of a job exactly once. Deferred recipients are tried again after a back-off between `minimal_backoff_time` and
    /// `maximal_backoff_time`; a message without recipients left is removed. Durable within 100 ms.
    func record(_ report: DeliveryReport)
    /// Puts a message of the server's own into the queue that belongs to no attempt; returns when it is durable.
    func submit(_ message: GeneratedMessage) async throws
}

/// The spool's view of the relay. Called on any thread; must not block. Each job is answered by exactly one report.
package protocol DeliveryAgent: AnyObject, Sendable {
    func deliver(_ job: DeliveryJob)
}
