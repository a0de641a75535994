import HandOff
import MailLog
import Restrictions
import Routing
import SMTPCore

extension Session {
    /// MAIL FROM (RFC 5321 section 4.1.1.2).
    func mail(_ command: CommandLine) async -> Outcome {
        guard command.count >= 3, command.matches(1, "from:") else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: MAIL FROM:<address>"))
        }
        if let count = overRate(.message, policy.limits.messageRate) {
            log.warning("Message delivery request rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
            return .reply(Reply(450, .init(4, 7, 1), "Error: too much mail from \(addressText)"))
        }
        let sender: (given: Address, rewritten: Address)
        let isUTF8 = policy.checksUTF8 && (3..<command.count).contains { command.matches($0, "smtputf8") }
        switch await path(command, verb: "MAIL", isUTF8: isUTF8) {
        case .refused(let reply): return .reply(reply)
        case .address(let given, let rewritten): sender = (given, rewritten)
        }
        var parameters = MailParameters(
            takesUTF8: policy.checksUTF8,
            takesDSN: !hiddenKeywords.contains(.dsn),
            verpSyntax: isVERPAuthorized ? policy.trust.verpSyntax : nil
        )
        for index in 3..<command.count {
            if let refusal = parameters.read(command[index]) { return .reply(refusal) }
        }
        if parameters.verpDelimiters != nil, sender.given.isNull { return .reply(VERPSyntax.needsSender) }
        transaction = Transaction(sender: sender.given, envelopeSender: sender.rewritten, parameters: parameters, completesHeaders: false)
        facts.sender = sender.given
        facts.isUTF8 = parameters.isUTF8
        if let refusal = await refusal(declaredSize: parameters.size) {
            endTransaction()
            return .reply(refusal)
        }
        return .reply(Reply(250, .init(2, 1, 0), "Ok"))
    }

    /// The checks that need the transaction: their log lines tell the sender.
    private func refusal(declaredSize: Int?) async -> Reply? {
        if let transaction, let refusal = refusal(undeclared: transaction.sender) { return refusal }
        if let declaredSize, policy.limits.messageSize > 0, declaredSize > policy.limits.messageSize {
            let reply = Reply(552, .init(5, 3, 4), "Message size exceeds fixed limit")
            logRejection("MAIL", reply)
            return reply
        }
        let decision = await rejection(at: .mail, state: "MAIL")
        if let reply = decision.rejection { return reply }
        transaction?.pendingDeferral = decision.pendingDeferral
        if service.registry.bodyMemory.isFull {
            log.warning("content of messages being received fills \(service.registry.bodyMemory.limit) bytes: new messages are put off")
            let reply = Reply(452, .init(4, 3, 1), "Insufficient system resources")
            logRejection("MAIL", reply)
            return reply
        }
        if handOff.storageIsShort {
            let reply = Reply(452, .init(4, 3, 1), "Insufficient system storage")
            logRejection("MAIL", reply)
            return reply
        }
        if let refusal = await decideHeaderCompletion() { return refusal }
        return policy.content.maps.changesSenders ? await mapSender() : nil
    }

    private func decideHeaderCompletion() async -> Reply? {
        transaction?.completesHeaders = policy.content.alwaysAddsMissingHeaders || !policy.content.remoteHeaderDomain.isEmpty
        // What was written elsewhere stays as it was.
        if let forwarded = forwarded?.isLocal {
            if forwarded { transaction?.completesHeaders = true }
            transaction?.isLocal = forwarded
            return nil
        }
        let isAuthenticated = facts.saslUsername != nil
        guard
            let isLocal = await policy.content.completedClients.contains(
                clientAddress,
                socketAddress: facts.socketAddress,
                name: knownName,
                isAuthenticated: isAuthenticated
            )
        else { return Reply(451, .init(4, 3, 0), "Temporary lookup error") }
        if isLocal { transaction?.completesHeaders = true }
        transaction?.isLocal = isLocal
        return nil
    }
}
