import MailLog
import NIOCore
import NIOPosix
import SMTPCore
import Spool

/// Tells the ledger what an attempt came to, with the bounce that belongs to it.
struct Reporter: Sendable {
    let configuration: RelayConfiguration
    let log: MailLog
    let ledger: any DeliveryLedger
    let files: NIOThreadPool

    private var settings: BounceSettings { configuration.bounce }

    func report(_ message: MessageInProgress, bounce: GeneratedMessage?) {
        ledger.record(DeliveryReport(id: message.job.id, outcomes: message.verdicts.map(Self.outcome), bounce: bounce))
    }

    /// Reports with a bounce, if one is due. If it cannot be made, nothing is given up: the recipients are deferred.
    func bounce(_ message: MessageInProgress) async {
        let job = message.job
        if message.isExpiring {
            log.with(tag: "\(configuration.queue.syslogName)/qmgr").info(
                "\(job.id): from=<\(job.envelope.sender)>, status=expired, returned to sender"
            )
        }
        let bounceLog = log.with(tag: "\(settings.syslogName)/bounce")
        let failures = message.failuresToReport
        var successes = message.successesToReport
        let decision = BounceDecision(sender: job.envelope.sender, settings: settings)
        if !successes.isEmpty, decision != .toSender {
            let kind = decision == .discardNotice ? "double-bounce" : "single-bounce"
            bounceLog.info("\(job.id): not sending trace/success notification for \(kind) message")
            successes = []
        }
        if failures.isEmpty, successes.isEmpty { return report(message, bounce: nil) }
        switch decision {
        case .drop: report(message, bounce: nil)
        case .discardNotice:
            bounceLog.warning("\(job.id): undeliverable postmaster notification discarded")
            report(message, bounce: nil)
        case .toSender, .toPostmaster:
            do {
                let generated = try await generate(message, failures, successes, forPostmaster: decision == .toPostmaster)
                report(message, bounce: generated.message)
                log.with(tag: "\(settings.syslogName)/cleanup").info("\(generated.message.id): message-id=\(generated.messageID)")
                let kind = decision == .toPostmaster ? "postmaster" : "sender"
                if !failures.isEmpty { bounceLog.info("\(job.id): \(kind) non-delivery notification: \(generated.message.id)") }
                if !successes.isEmpty { bounceLog.info("\(job.id): \(kind) delivery status notification: \(generated.message.id)") }
            } catch {
                bounceLog.warning("\(job.id): cannot write the notification, delivery deferred: \(error)")
                deferAll(message)
            }
        }
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

    private func generate(
        _ message: MessageInProgress,
        _ failures: [Int],
        _ successes: [Int],
        forPostmaster: Bool
    ) async throws -> (message: GeneratedMessage, messageID: String) {
        let job = message.job
        let (returned, isHeaderOnly) = try await original(of: job, headerOnly: failures.isEmpty)
        let id = try await ledger.reserveQueueID()
        let now = WallClock.now()
        let recipient = forPostmaster ? settings.doubleBounceRecipient : returnAddress(of: job, failures, successes)
        let verdicts = message.verdicts
        func entry(_ index: Int) -> BounceMessage.Entry {
            BounceMessage.Entry(recipient: job.envelope.recipients[index], result: verdicts[index])
        }
        let bounce = BounceMessage(
            original: job.id,
            envelope: job.envelope,
            arrival: job.arrival,
            failures: failures.map(entry),
            successes: successes.map(entry),
            hasExpired: message.isExpiring,
            returned: returned,
            isHeaderOnly: isHeaderOnly,
            recipient: recipient,
            isForPostmaster: forPostmaster,
            settings: settings
        )
        let messageID = "<\(MailDate.compact(now)).\(id)@\(settings.myHostname)>"
        let content = bounce.write(id: id, now: now, messageID: messageID)
        var envelope = Envelope(
            sender: forPostmaster ? settings.doubleBounceSender : .null,
            recipients: [Recipient(address: recipient)],
            body: content.readableBytesView.contains { $0 >= 0x80 } ? .eightBitMIME : .unspecified
        )
        envelope.needsUTF8 = job.envelope.needsUTF8
        return (GeneratedMessage(id: id, envelope: envelope, content: content), messageID)
    }

    /// The sender; with XVERP the one that its only failed recipient was served with. A report about several recipients names them itself.
    private func returnAddress(of job: DeliveryJob, _ failures: [Int], _ successes: [Int]) -> Address {
        guard !settings.disablesVERPBounces, failures.count == 1, successes.isEmpty else { return job.envelope.sender }
        return job.envelope.sender(for: job.envelope.recipients[failures[0]])
    }

    /// What is returned: the message, or its header where the sender wants no more (RFC 3461 section 4.3) or it is longer than
    /// `bounce_size_limit`.
    private func original(of job: DeliveryJob, headerOnly: Bool) async throws -> (ByteBuffer, isHeaderOnly: Bool) {
        let content = job.content
        let isHeaderOnly =
            headerOnly || job.envelope.returns == .headers || settings.sizeLimit > 0 && content.size > settings.sizeLimit
        let length = isHeaderOnly ? min(content.size, Self.maximumHeaderLength) : content.size
        let bytes: ByteBuffer
        if let memory = content.inMemory {
            bytes = memory.getSlice(at: memory.readerIndex, length: min(length, memory.readableBytes)) ?? memory
        } else {
            bytes = try await files.runIfActive { try content.read(offset: 0, length: length) }
        }
        return isHeaderOnly ? (Self.header(of: bytes), true) : (bytes, false)
    }

    private static let maximumHeaderLength = 102_400

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
