import HandOff
import MailLog
import Restrictions
import Routing
import SMTPCore

extension Session {
    /// `smtpd_client_recipient_rate_limit`, which RCPT and VRFY count against.
    func overRecipientRate() -> Reply? {
        guard let count = overRate(.recipient, policy.limits.recipientRate) else { return nil }
        log.warning("Recipient address rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
        return Reply(450, .init(4, 7, 1), "Error: too many recipients from \(addressText)")
    }

    /// RCPT TO (RFC 5321 section 4.1.1.3).
    func rcpt(_ command: CommandLine) async -> Outcome {
        guard command.count >= 3, command.matches(1, "to:") else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: RCPT TO:<address>"))
        }
        if let refusal = overRecipientRate() { return .reply(refusal) }
        let given: Address
        let rewritten: Address
        switch await path(command, verb: "RCPT", isUTF8: transaction?.isUTF8 == true) {
        case .refused(let reply): return .reply(reply)
        case .address(let address, let completed): (given, rewritten) = (address, completed)
        }
        if given.isNull { return .reply(illegal(command[2], verb: "RCPT")) }
        var parameters = RcptParameters(takesDSN: !hiddenKeywords.contains(.dsn))
        for index in 3..<command.count {
            if let refusal = parameters.read(command[index]) {
                if let warning = parameters.warning { log.warning(warning) }
                return .reply(refusal)
            }
        }
        if let outcome = overRecipientLimit() { return outcome }
        if let refusal = refusal(undeclared: given) { return .reply(refusal) }
        // A message that is to be dropped is not judged further.
        if transaction?.isDiscarded == false {
            let decision = await rejection(at: .rcpt, state: "RCPT", recipient: given)
            if let reply = decision.rejection { return .reply(reply) }
        }
        var addresses = [rewritten]
        var copies: [Recipient] = []
        if policy.content.maps.changesRecipients, transaction?.isDiscarded == false {
            switch await expand(given, completed: rewritten) {
            case .refused(let reply): return .reply(reply)
            case .expanded(let expansion): (addresses, copies) = (expansion.recipients, expansion.copies)
            }
        }
        let original = parameters.originalRecipient.isEmpty ? OriginalRecipient.asWritten(command[2], given) : parameters.originalRecipient
        var recipients = addresses.map { address in
            Recipient(
                address: address,
                original: given == address ? nil : given,
                notify: parameters.notify,
                declaredOriginal: original
            )
        }
        let length = (recipients + copies).reduce(transaction?.recipientsLength ?? 0) { $0 + $1.encodedLength }
        // An alias of a thousand members, named a thousand times with another ORCPT each.
        if length > HandOffFrame.recipientsLimit { return .reply(Self.tooManyRecipients) }
        let recipient = recipients.removeFirst()
        let reply = await accept(given, recipient)
        if reply.isPositive {
            transaction?.copies += recipients + copies
            transaction?.recipientsLength = length
        }
        return .reply(reply)
    }

    static let writeError = Reply(451, .init(4, 3, 0), "Error: queue file write error")
    static let tooManyRecipients = Reply(452, .init(4, 5, 3), "Error: too many recipients")

    /// Beyond the limit a client is told to come back with the rest (RFC 5321 section 4.5.3.1.10); that is no error of its own at first.
    private func overRecipientLimit() -> Outcome? {
        let limits = policy.limits
        guard limits.recipients > 0, let transaction, transaction.recipients.count >= limits.recipients else { return nil }
        self.transaction?.recipientOvershoot += 1
        let isForgiven = transaction.recipientOvershoot < limits.recipientOvershoot
        return Outcome(reply: Self.tooManyRecipients, succeeded: isForgiven)
    }

    private func accept(_ given: Address, _ recipient: Recipient) async -> Reply {
        if transaction?.queueID == nil {
            do throws(HandOffFailure) {
                transaction?.queueID = try await handOff.reserveQueueID()
            } catch {
                return failureReply(error)
            }
            log.info(
                "\(queueName): client=\(clientText)\(loginText)\(senderText)\(forwarded?.logText(withPort: policy.clientPortLogging) ?? "")"
            )
        }
        if transaction?.recipients.isEmpty == true { transaction?.firstRecipient = given }
        transaction?.recipients.append(recipient)
        facts.recipientCount = transaction?.recipients.count ?? 0
        return Reply(250, .init(2, 1, 5), "Ok")
    }

    private var loginText: String {
        guard let method = facts.saslMethod, let username = facts.saslUsername else { return "" }
        return ", sasl_method=\(method), sasl_username=\(username)"
    }

    private var senderText: String {
        guard let identity = transaction?.declaredIdentity, !identity.isEmpty else { return "" }
        return ", sasl_sender=\(identity)"
    }

    /// What the client hears when the queue cannot take mail; the log gets the reason.
    func failureReply(_ failure: HandOffFailure) -> Reply {
        switch failure {
        case .insufficientStorage:
            log.warning("\(queueName): queue file write error: insufficient system storage")
            return Reply(452, .init(4, 3, 1), "Insufficient system storage")
        case .writeError(let reason), .unavailable(let reason):
            log.warning("\(queueName): queue file write error: \(reason)")
            return Self.writeError
        }
    }
}
