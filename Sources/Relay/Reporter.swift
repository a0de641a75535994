import MailLog
import NIOCore
import NIOPosix
import SMTPCore
import Spool

/// Tells the ledger what an attempt came to, with the notices that belong to it.
struct Reporter: Sendable {
    let configuration: RelayConfiguration
    let log: MailLog
    let ledger: any DeliveryLedger
    let files: NIOThreadPool

    private var settings: BounceSettings { configuration.bounce }

    func report(_ message: MessageInProgress, notices: [GeneratedMessage] = [], tellsOfDelay: Bool = false) {
        let outcomes = message.verdicts.map(Self.outcome)
        ledger.record(DeliveryReport(id: message.job.id, outcomes: outcomes, bounces: notices, tellsOfDelay: tellsOfDelay))
    }

    /// Whether there is more to do than to ``report(_:notices:tellsOfDelay:)``.
    func hasMoreToTell(of message: MessageInProgress) -> Bool {
        message.hasFailures || delay(of: message) != .none || !successes(of: message).isEmpty
    }

    private func successes(of message: MessageInProgress) -> [Int] {
        message.successesToReport(confirmsDelayCleared: settings.confirmsDelayCleared)
    }

    private func delay(of message: MessageInProgress) -> DelayDecision {
        // A disk that is nearly full belongs to outcomes and bounces; of a delay can be told after a later attempt.
        guard settings.delayWarningTime > 0, !ledger.storageIsShort else { return .none }
        let job = message.job
        let age = WallClock.now() - job.agesFrom
        return DelayDecision(about: message.waiting, of: job.envelope, age: age, isTold: job.isToldOfDelay, settings)
    }

    /// Reports with the notices that are due. If one cannot be made, nothing is given up: the recipients are deferred.
    func conclude(_ message: MessageInProgress) async {
        let job = message.job
        if message.isExpiring {
            log.with(tag: "\(configuration.queue.syslogName)/qmgr").info(
                "\(job.id): from=<\(job.envelope.sender)>, status=expired, returned to sender"
            )
        }
        let bounceLog = log.with(tag: "\(settings.syslogName)/bounce")
        let delay = delay(of: message)
        let notices = finalNotices(of: message, bounceLog) + notices(of: job, delay)
        if delay == .discard { bounceLog.warning("\(job.id): undeliverable postmaster notification discarded") }
        do {
            let generated = try await generate(notices, about: message)
            report(message, notices: generated.map(\.message), tellsOfDelay: delay != .none)
            for (notice, generated) in zip(notices, generated) { logNotice(notice, generated, about: job.id, bounceLog) }
        } catch {
            bounceLog.warning("\(job.id): cannot write the notification, delivery deferred: \(error)")
            deferAll(message)
        }
    }

    /// Of failure and of success; what is to be said to nobody is logged.
    private func finalNotices(of message: MessageInProgress, _ bounceLog: MailLog) -> [Notice] {
        let job = message.job
        let failures = message.failuresToReport
        var successes = successes(of: message)
        let decision = BounceDecision(sender: job.envelope.sender, settings: settings)
        if !successes.isEmpty, decision != .toSender {
            let kind = decision == .discardNotice ? "double-bounce" : "single-bounce"
            bounceLog.info("\(job.id): not sending trace/success notification for \(kind) message")
            successes = []
        }
        switch decision {
        case .drop: return []
        case .discardNotice:
            if !failures.isEmpty { bounceLog.warning("\(job.id): undeliverable postmaster notification discarded") }
            return []
        case .toSender, .toPostmaster:
            return notices(of: job, failures, successes, forPostmaster: decision == .toPostmaster)
        }
    }

    private func logNotice(_ notice: Notice, _ generated: Generated, about original: QueueID, _ bounceLog: MailLog) {
        log.with(tag: "\(settings.syslogName)/cleanup").info("\(generated.message.id): message-id=\(generated.messageID)")
        let reader = notice.isForPostmaster ? "postmaster" : "sender"
        let kind =
            switch notice.kind {
            case .failure: "non-delivery"
            case .delay: "delay"
            case .success: "delivery status"
            }
        bounceLog.info("\(original): \(reader) \(kind) notification: \(generated.message.id)")
    }

    /// For a message without all its verdicts: what has been delivered stays delivered, the rest is tried again.
    func deferRest(_ message: MessageInProgress, _ reason: DeliveryFailure) {
        let outcomes = message.results.map { result -> RecipientOutcome in
            guard let result else { return .deferred(reason.text) }
            return result.status == .sent ? .delivered : .deferred(result.text)
        }
        ledger.record(DeliveryReport(id: message.job.id, outcomes: outcomes))
    }

    private func deferAll(_ message: MessageInProgress) {
        let outcomes = message.verdicts.map { $0.status == .bounced ? RecipientOutcome.deferred($0.text) : Self.outcome($0) }
        ledger.record(DeliveryReport(id: message.job.id, outcomes: outcomes))
    }

    /// The notices and the messages that carry them, in the same order.
    private func generate(_ notices: [Notice], about message: MessageInProgress) async throws -> [Generated] {
        let job = message.job
        let isExpiring = message.isExpiring
        let verdicts = message.verdicts
        // Together they are one write of the queue.
        let share = Self.maximumReturned / max(1, notices.count)
        var generated: [Generated] = []
        generated.reserveCapacity(notices.count)
        var failed: (ByteBuffer, isHeaderOnly: Bool)?
        for notice in notices {
            let isOfFailure = notice.kind == .failure && !notice.isCopy
            let returned = if let failed, isOfFailure { failed } else { try await original(of: job, for: notice, share) }
            if isOfFailure { failed = returned }
            let entries = notice.recipients.map { BounceMessage.Entry(recipient: job.envelope.recipients[$0], result: verdicts[$0]) }
            let bounce = BounceMessage(
                original: job.id,
                envelope: job.envelope,
                arrival: job.arrival,
                kind: notice.kind,
                entries: entries,
                hasExpired: isExpiring,
                returned: returned.0,
                isHeaderOnly: returned.isHeaderOnly,
                recipient: notice.reader,
                isForPostmaster: notice.isForPostmaster,
                settings: settings
            )
            generated.append(try await wrap(bounce, needsUTF8: job.envelope.needsUTF8))
        }
        return generated
    }

    private func wrap(_ bounce: BounceMessage, needsUTF8: Bool) async throws -> Generated {
        let id = try await ledger.reserveQueueID()
        let now = WallClock.now()
        let messageID = "<\(MailDate.compact(now)).\(id)@\(settings.myHostname)>"
        let content = bounce.write(id: id, now: now, messageID: messageID)
        var envelope = Envelope(
            sender: bounce.isForPostmaster ? settings.doubleBounceSender : .null,
            recipients: [Recipient(address: bounce.recipient)],
            body: content.readableBytesView.contains { $0 >= 0x80 } ? .eightBitMIME : .unspecified
        )
        envelope.needsUTF8 = needsUTF8
        return Generated(message: GeneratedMessage(id: id, envelope: envelope, content: content), messageID: messageID)
    }

    /// What is returned: the message, or its header where the sender wants no more (RFC 3461 section 4.3) or it is longer than
    /// `bounce_size_limit`, or longer than its share of what many notices may return.
    private func original(of job: DeliveryJob, for notice: Notice, _ share: Int) async throws -> (ByteBuffer, isHeaderOnly: Bool) {
        let content = job.content
        let isTooLong = settings.sizeLimit > 0 && content.size > settings.sizeLimit || notice.isOneOfMany && content.size > share
        let isHeaderOnly = notice.kind != .failure || notice.isCopy || job.envelope.returns == .headers || isTooLong
        let headerLimit = notice.isOneOfMany ? min(share, Self.maximumHeaderLength) : Self.maximumHeaderLength
        let length = isHeaderOnly ? min(content.size, headerLimit) : content.size
        let bytes: ByteBuffer
        if let memory = content.inMemory {
            bytes = memory.getSlice(at: memory.readerIndex, length: min(length, memory.readableBytes)) ?? memory
        } else {
            bytes = try await files.runIfActive { try content.read(offset: 0, length: length) }
        }
        return isHeaderOnly ? (Self.header(of: bytes), true) : (bytes, false)
    }

    private static let maximumHeaderLength = 102_400
    /// Bytes of the message in all notices of one attempt together, where each recipient has one.
    private static let maximumReturned = 4 << 20

    /// Up to and including the line end before the empty line.
    static func header(of message: ByteBuffer) -> ByteBuffer {
        let view = message.readableBytesView
        var position = view.startIndex
        while let end = view[position...].firstIndex(of: UInt8(ascii: "\n")) {
            let next = end + 1
            if next < view.endIndex, view[next] == UInt8(ascii: "\n") || view[next] == UInt8(ascii: "\r") {
                return message.getSlice(at: message.readerIndex, length: next - view.startIndex) ?? message
            }
            position = next
        }
        return message
    }

    private static func outcome(_ result: RecipientResult) -> RecipientOutcome {
        switch result.status {
        case .sent: .delivered
        case .deferred, .softBounce: .deferred(result.text)
        case .bounced: .bounced(result.text)
        }
    }
}
