import SMTPCore
import Spool

extension Reporter {
    /// One notice to be written: of failure or of success, about some recipients.
    struct Notice: Sendable, Hashable {
        /// Places in the envelope.
        var recipients: [Int]
        var isOfFailure: Bool
        /// Whom it goes to.
        var reader: Address
        var isForPostmaster: Bool
        /// There is one for each recipient.
        var isOneOfMany = false
    }

    /// A notice that is written.
    struct Generated: Sendable {
        var message: GeneratedMessage
        var messageID: String
    }

    /// What is to be told after one attempt, and to whom: failures in one notice and successes in another. With XVERP each failure has a notice
    /// of its own, to the sender that this recipient was served with (`disable_verp_bounces`).
    func notices(of job: DeliveryJob, _ failures: [Int], _ successes: [Int], forPostmaster: Bool) -> [Notice] {
        func notice(_ recipients: some Sequence<Int>, isOfFailure: Bool) -> Notice? {
            let recipients = Array(recipients)
            let reader = forPostmaster ? configuration.bounce.doubleBounceRecipient : job.envelope.sender
            guard !recipients.isEmpty else { return nil }
            return Notice(recipients: recipients, isOfFailure: isOfFailure, reader: reader, isForPostmaster: forPostmaster)
        }
        let isSplit = job.envelope.verpDelimiters != nil && !configuration.bounce.disablesVERPBounces && !forPostmaster
        // Beyond that number one notice tells of all the rest: they are made in memory, and are one write of the queue.
        let alone = failures.prefix(isSplit ? Self.maximumSplit : 0)
        let own = alone.map { index in
            Notice(
                recipients: [index],
                isOfFailure: true,
                reader: job.envelope.sender(for: job.envelope.recipients[index]),
                isForPostmaster: false,
                isOneOfMany: alone.count > 1
            )
        }
        let rest = notice(failures.dropFirst(alone.count), isOfFailure: true)
        return own + [rest, notice(successes, isOfFailure: false)].compactMap { $0 }
    }

    private static var maximumSplit: Int { 1_000 }
}
