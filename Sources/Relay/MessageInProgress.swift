import NIOCore
import SMTPCore
import Spool

/// A job while its recipients are being served. Confined to the coordinator's loop.
final class MessageInProgress {
    var job: DeliveryJob
    let activated = NIODeadline.now()
    /// How long the message had been queued by then, seconds.
    let queuedBefore: Double
    var results: [RecipientResult?]
    /// Deliveries without a verdict.
    var outstanding = 0
    /// The ledger has its answer, or is about to get it.
    var isReported = false

    init(_ job: DeliveryJob) {
        self.job = job
        queuedBefore = max(0, WallClock.now() - job.arrival)
        results = Array(repeating: nil, count: job.envelope.recipients.count)
    }

    /// The results, with what is expired turned from "try again" into "given up".
    var verdicts: [RecipientResult] {
        results.map { result in
            guard var result else {
                return .failed(DeliveryFailure(EnhancedStatusCode(4, 3, 0), "delivery ended without a result"))
            }
            if job.isExpired, result.status == .deferred || result.status == .softBounce { result.status = .bounced }
            return result
        }
    }

    /// The lifetime of the message has ended with recipients left.
    var isExpiring: Bool { job.isExpired && results.contains { $0?.status == .deferred || $0?.status == .softBounce } }

    /// Recipients that were given up and whose failure the sender wants to hear of (RFC 3461 section 4.1).
    var failuresToReport: [Int] {
        let verdicts = verdicts
        return verdicts.indices.filter { verdicts[$0].status == .bounced && job.envelope.recipients[$0].wantsFailureNotice }
    }

    /// Recipients that were served, where the sender wants to hear of it and no next hop will tell.
    var successesToReport: [Int] {
        results.indices.filter {
            guard let result = results[$0], result.status == .sent, !result.noticeHandedOn else { return false }
            return job.envelope.recipients[$0].notify.contains(.success)
        }
    }

    /// There is more to do than to tell the ledger.
    var needsBounce: Bool {
        isExpiring || results.contains { $0?.status == .bounced }
            || job.envelope.recipients.contains { $0.notify.contains(.success) } && !successesToReport.isEmpty
    }
}

extension DeliveryJob {
    /// The address as routing left it; the one it came with is kept for the log and for bounces.
    mutating func adopt(_ resolved: Address, at index: Int) {
        let recipient = envelope.recipients[index]
        guard resolved != recipient.address, !resolved.isNull else { return }
        envelope.recipients[index].address = resolved
        envelope.recipients[index].original = recipient.original ?? recipient.address
    }
}
