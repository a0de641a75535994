import MailLog
import NIOCore
import SMTPCore
import Spool

/// One delivery on its way through one or more hosts: who still waits for a verdict. Confined to its loop.
final class DeliveryAttempt {
    let delivery: Delivery
    let taken: NIODeadline
    /// When the connection in use had passed its handshake.
    var connected: NIODeadline?
    private let log: MailLog
    private var results: [RecipientResult?]
    private(set) var remaining: Int
    private(set) var lastNote: (failure: DeliveryFailure, relay: String)?

    /// A line of smtp(8)'s about the message.
    func note(_ text: String) { log.info("\(delivery.job.id): \(text)") }

    init(_ delivery: Delivery, log: MailLog, taken: NIODeadline = .now()) {
        self.delivery = delivery
        self.log = log
        self.taken = taken
        results = Array(repeating: nil, count: delivery.indices.count)
        remaining = delivery.indices.count
    }

    /// Positions in the delivery without a verdict.
    var open: [Int] { results.indices.filter { results[$0] == nil } }

    func isOpen(_ position: Int) -> Bool { results[position] == nil }

    /// The final word on one recipient; logged at once.
    func settle(_ position: Int, _ result: RecipientResult, relay: String, connectionUse: Int = 1, tag: String? = nil) {
        guard results[position] == nil else { return }
        var result = result
        if result.status == .bounced, delivery.transport.softBounce {
            result.status = .softBounce
            result.dsn.class = 4
        }
        results[position] = result
        remaining -= 1
        let delays = DeliveryLog.Delays(delivery, taken: taken, connected: connected, done: .now())
        let line = DeliveryLog.line(
            id: delivery.job.id,
            recipient: delivery.recipient(position),
            relay: relay,
            connectionUse: connectionUse,
            delays: delays,
            result: result
        )
        (tag.map { log.with(tag: $0) } ?? log).info(line)
    }

    func settleAll(_ result: RecipientResult, relay: String, connectionUse: Int = 1, tag: String? = nil) {
        for position in open { settle(position, result, relay: relay, connectionUse: connectionUse, tag: tag) }
    }

    /// A failure that is not final yet, since another host may still take the message; it is if no other host has anything to say.
    func note(_ failure: DeliveryFailure, relay: String) {
        lastNote = (failure, relay)
        log.info("\(delivery.job.id): \(failure.text)")
    }

    /// Hands the verdicts back; every recipient has one by now.
    func finish() {
        let missing = RecipientResult.failed(DeliveryFailure(EnhancedStatusCode(4, 3, 0), "delivery ended without a result"))
        delivery.complete(results.map { $0 ?? missing })
    }
}
