import SMTPCore
import Spool

extension Reporter {
    /// One notice to be written, about some recipients.
    struct Notice: Sendable, Hashable {
        /// Places in the envelope.
        var recipients: [Int]
        var kind: BounceMessage.Kind
        /// Whom it goes to.
        var reader: Address
        var isForPostmaster: Bool
        /// There is one for each recipient.
        var isOneOfMany = false
        /// Of what is told to the sender as well: with the header of the message only.
        var isCopy = false
    }

    /// A notice that is written.
    struct Generated: Sendable {
        var message: GeneratedMessage
        var messageID: String
    }

    /// What is to be told after one attempt, and to whom: failures in one notice and successes in another. With XVERP each failure has a notice
    /// of its own, to the sender that this recipient was served with (`disable_verp_bounces`). The postmaster's copy is one for all failures.
    func notices(of job: DeliveryJob, _ failures: [Int], _ successes: [Int], forPostmaster: Bool) -> [Notice] {
        func notice(_ recipients: some Sequence<Int>, _ kind: BounceMessage.Kind) -> Notice? {
            let recipients = Array(recipients)
            let reader = forPostmaster ? configuration.bounce.doubleBounceRecipient : job.envelope.sender
            guard !recipients.isEmpty else { return nil }
            return Notice(recipients: recipients, kind: kind, reader: reader, isForPostmaster: forPostmaster)
        }
        let isSplit = job.envelope.verpDelimiters != nil && !configuration.bounce.disablesVERPBounces && !forPostmaster
        // Beyond that number one notice tells of all the rest: they are made in memory, and are one write of the queue.
        let alone = failures.prefix(isSplit ? Self.maximumSplit : 0)
        let own = alone.map { index in
            Notice(
                recipients: [index],
                kind: .failure,
                reader: job.envelope.sender(for: job.envelope.recipients[index]),
                isForPostmaster: false,
                isOneOfMany: alone.count > 1
            )
        }
        let rest = notice(failures.dropFirst(alone.count), .failure)
        var copy: Notice?
        if let reader = configuration.bounce.bounceNoticeRecipient, !forPostmaster, !failures.isEmpty {
            copy = Notice(recipients: failures, kind: .failure, reader: reader, isForPostmaster: true, isCopy: true)
        }
        return own + [rest, copy, notice(successes, .success)].compactMap { $0 }
    }

    /// The sender, also where each recipient was served with one of its own, and the postmaster.
    func notices(of job: DeliveryJob, _ delay: DelayDecision) -> [Notice] {
        guard case .tell(let sender, let postmaster) = delay else { return [] }
        var notices: [Notice] = []
        if !sender.isEmpty {
            notices.append(Notice(recipients: sender, kind: .delay, reader: job.envelope.sender, isForPostmaster: false))
        }
        if !postmaster.isEmpty, let reader = configuration.bounce.delayNoticeRecipient {
            notices.append(Notice(recipients: postmaster, kind: .delay, reader: reader, isForPostmaster: true))
        }
        return notices
    }

    private static var maximumSplit: Int { 1_000 }
}
