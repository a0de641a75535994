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

    /// Recipients that are tried again.
    var waiting: [Int] {
        let verdicts = verdicts
        return verdicts.indices.filter { verdicts[$0].status == .deferred || verdicts[$0].status == .softBounce }
    }

    /// Recipients that were served, where the sender wants to hear of it and no next hop will tell, or has been told that they wait.
    ///
    /// - Parameter confirmsDelayCleared: `confirm_delay_cleared`.
    func successesToReport(confirmsDelayCleared: Bool) -> [Int] {
        let isConfirmed = confirmsDelayCleared && job.isToldOfDelay
        guard isConfirmed || job.envelope.recipients.contains(where: { $0.notify.contains(.success) }) else { return [] }
        return results.indices.filter {
            guard let result = results[$0], result.status == .sent else { return false }
            let recipient = job.envelope.recipients[$0]
            return recipient.notify.contains(.success) && !result.noticeHandedOn || isConfirmed && recipient.wantsDelayNotice
        }
    }

    /// Someone was given up.
    var hasFailures: Bool { isExpiring || results.contains { $0?.status == .bounced } }
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
