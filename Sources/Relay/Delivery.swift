import NIOCore
import SMTPCore
import Spool

/// Some recipients of one message on their way to one next hop. Crosses loops, so it never changes.
final class Delivery: Sendable {
    let job: DeliveryJob
    /// Positions in the job's recipients.
    let indices: [Int]
    let transport: Transport
    let nextHop: String
    /// When the message became active.
    let activated: NIODeadline
    /// How long the message had been queued by then, seconds.
    let queuedBefore: Double
    /// Takes the results in the order of `indices`, exactly once; on any loop.
    let completion: @Sendable (Delivery, [RecipientResult]) -> Void

    init(
        job: DeliveryJob,
        indices: [Int],
        transport: Transport,
        nextHop: String,
        activated: NIODeadline,
        queuedBefore: Double,
        completion: @escaping @Sendable (Delivery, [RecipientResult]) -> Void
    ) {
        self.job = job
        self.indices = indices
        self.transport = transport
        self.nextHop = nextHop
        self.activated = activated
        self.queuedBefore = queuedBefore
        self.completion = completion
    }

    func complete(_ results: [RecipientResult]) { completion(self, results) }

    /// For MAIL. A message with VERP delimiters has one recipient in each delivery.
    var sender: Address { job.envelope.sender(for: recipient(0)) }

    func recipient(_ position: Int) -> Recipient { job.envelope.recipients[indices[position]] }
}

/// What became of one recipient, in words of the log and of a bounce.
struct RecipientResult: Sendable, Hashable {
    enum Status: String, Sendable {
        case sent
        case deferred
        case bounced
        /// Would have bounced but for `soft_bounce = yes`.
        case softBounce = "SOFTBOUNCE"
    }

    var status: Status
    var dsn: EnhancedStatusCode
    /// The text in parentheses at the end of the log line.
    var text: String
    /// The host that said so, for Remote-MTA; nil when no host was reached.
    var remoteMTA: String?
    /// That host's reply on one line, for Diagnostic-Code; nil when the reason is our own.
    var diagnostic: String?
    /// The next hop has taken over to tell the sender of success (RFC 3461 section 5.2.1).
    var noticeHandedOn = false
    /// What a report calls success: `relayed` to a server that knows nothing of RFC 3461, or `delivered` here.
    var successAction = "delivered"

    static func sent(_ dsn: EnhancedStatusCode, _ text: String) -> RecipientResult {
        RecipientResult(status: .sent, dsn: dsn, text: text)
    }

    /// Taken by another server.
    static func relayed(_ reply: ServerReply, to host: String, noticeHandedOn: Bool) -> RecipientResult {
        var result = RecipientResult(status: .sent, dsn: reply.effectiveStatus, text: reply.logText, remoteMTA: host)
        result.diagnostic = reply.logText
        result.noticeHandedOn = noticeHandedOn
        result.successAction = "relayed"
        return result
    }

    /// Deferred or bounced, by the class of the failure's status code.
    static func failed(_ failure: DeliveryFailure) -> RecipientResult {
        RecipientResult(
            status: failure.isPermanent ? .bounced : .deferred,
            dsn: failure.dsn,
            text: failure.text,
            remoteMTA: failure.remoteMTA,
            diagnostic: failure.diagnostic
        )
    }
}

/// Why a delivery failed, for one recipient or for all.
struct DeliveryFailure: Error, Sendable, Hashable {
    /// Class 4: try again; class 5: give up.
    var dsn: EnhancedStatusCode
    var text: String
    var remoteMTA: String?
    var diagnostic: String?

    var isPermanent: Bool { dsn.class == 5 }

    init(_ dsn: EnhancedStatusCode, _ text: String, remoteMTA: String? = nil, diagnostic: String? = nil) {
        self.dsn = dsn
        self.text = text
        self.remoteMTA = remoteMTA
        self.diagnostic = diagnostic
    }

    /// The same reason, to be tried again.
    var softened: DeliveryFailure {
        var copy = self
        copy.dsn.class = 4
        return copy
    }
}
