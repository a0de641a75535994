import HandOff
import MailLog
import Restrictions
import SMTPCore

extension Session {
    /// RCPT TO (RFC 5321 section 4.1.1.3).
    func rcpt(_ command: CommandLine) async -> Outcome {
        guard command.count >= 3, command.matches(1, "to:") else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: RCPT TO:<address>"))
        }
        if let count = overRate(.recipient, policy.limits.recipientRate) {
            log.warning("Recipient address rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
            return .reply(Reply(450, .init(4, 7, 1), "Error: too many recipients from \(clientAddress)"))
        }
        let given: Address
        let rewritten: Address
        switch await path(command, 2, verb: "RCPT") {
        case .refused(let reply): return .reply(reply)
        case .address(let address, let completed): (given, rewritten) = (address, completed)
        }
        if given.isNull { return .reply(illegal(command, 2, verb: "RCPT")) }
        for index in 3..<command.count {
            return .reply(Self.refusal(ofRcptParameter: command[index]))
        }
        if let outcome = overRecipientLimit() { return outcome }
        // A message that is to be dropped is not judged further.
        if transaction?.isDiscarded == false {
            let decision = await rejection(at: .rcpt, state: "RCPT", recipient: given)
            if let reply = decision.rejection ?? apply(decision.actions) { return .reply(reply) }
        }
        return .reply(await accept(given, rewritten))
    }

    private static func refusal(ofRcptParameter parameter: ArraySlice<UInt8>) -> Reply {
        let name = parameter.prefix { $0 != UInt8(ascii: "=") }.map(\.asciiUppercased)
        if name.count < parameter.count, name.elementsEqual("NOTIFY".utf8) || name.elementsEqual("ORCPT".utf8) {
            return Reply(501, .init(5, 7, 1), "DSN support is disabled")
        }
        return MailParameters.unsupported(parameter)
    }

    /// Beyond the limit a client is told to come back with the rest (RFC 5321 section 4.5.3.1.10); that is no error of its own at first.
    private func overRecipientLimit() -> Outcome? {
        let limits = policy.limits
        guard limits.recipients > 0, let transaction, transaction.recipients.count >= limits.recipients else { return nil }
        self.transaction?.recipientOvershoot += 1
        let isForgiven = transaction.recipientOvershoot < limits.recipientOvershoot
        return Outcome(reply: Reply(452, .init(4, 5, 3), "Error: too many recipients"), succeeded: isForgiven)
    }

    private func accept(_ given: Address, _ rewritten: Address) async -> Reply {
        if transaction?.queueID == nil {
            do throws(HandOffFailure) {
                transaction?.queueID = try await handOff.reserveQueueID()
            } catch {
                return failureReply(error)
            }
            log.info("\(queueName): client=\(clientText)\(loginText)\(forwarded?.logText ?? "")")
        }
        if transaction?.recipients.isEmpty == true { transaction?.firstRecipient = given }
        transaction?.recipients.append(Recipient(address: rewritten, original: given == rewritten ? nil : given))
        facts.recipientCount = transaction?.recipients.count ?? 0
        return Reply(250, .init(2, 1, 5), "Ok")
    }

    private var loginText: String {
        guard let method = facts.saslMethod, let username = facts.saslUsername else { return "" }
        return ", sasl_method=\(method), sasl_username=\(username)"
    }

    /// What the client hears when the queue cannot take mail; the log gets the reason.
    func failureReply(_ failure: HandOffFailure) -> Reply {
        switch failure {
        case .insufficientStorage:
            log.warning("\(queueName): queue file write error: insufficient system storage")
            return Reply(452, .init(4, 3, 1), "Insufficient system storage")
        case .writeError(let reason), .unavailable(let reason):
            log.warning("\(queueName): queue file write error: \(reason)")
            return Reply(451, .init(4, 3, 0), "Error: queue file write error")
        }
    }
}
