import HandOff
import MailLog
import Restrictions
import SMTPCore

extension Session {
    /// MAIL FROM (RFC 5321 section 4.1.1.2).
    func mail(_ command: CommandLine) async -> Outcome {
        guard command.count >= 3, command.matches(1, "from:") else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: MAIL FROM:<address>"))
        }
        if let count = overRate(.message, policy.limits.messageRate) {
            log.warning("Message delivery request rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
            return .reply(Reply(450, .init(4, 7, 1), "Error: too much mail from \(clientAddress)"))
        }
        let sender: (given: Address, rewritten: Address)
        switch await path(command, 2, verb: "MAIL") {
        case .refused(let reply): return .reply(reply)
        case .address(let given, let rewritten): sender = (given, rewritten)
        }
        var parameters = MailParameters()
        for index in 3..<command.count {
            if let refusal = parameters.read(command[index]) { return .reply(refusal) }
        }
        transaction = Transaction(sender: sender.given, envelopeSender: sender.rewritten, body: parameters.body, completesHeaders: false)
        facts.sender = sender.given
        if let refusal = await refusal(declaredSize: parameters.size) {
            endTransaction()
            return .reply(refusal)
        }
        return .reply(Reply(250, .init(2, 1, 0), "Ok"))
    }

    /// The checks that need the transaction: their log lines tell the sender.
    private func refusal(declaredSize: Int?) async -> Reply? {
        if let declaredSize, policy.limits.messageSize > 0, declaredSize > policy.limits.messageSize {
            let reply = Reply(552, .init(5, 3, 4), "Message size exceeds fixed limit")
            logRejection("MAIL", reply)
            return reply
        }
        let decision = await rejection(at: .mail, state: "MAIL")
        if let reply = decision.rejection { return reply }
        transaction?.pendingDeferral = decision.pendingDeferral
        if let reply = apply(decision.actions) { return reply }
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
        return await decideHeaderCompletion()
    }

    private func decideHeaderCompletion() async -> Reply? {
        if policy.content.alwaysAddsMissingHeaders || forwarded?.isLocal == true {
            transaction?.completesHeaders = true
            return nil
        }
        // What was written elsewhere stays as it was.
        if forwarded?.isLocal == false { return nil }
        let isAuthenticated = facts.saslUsername != nil
        guard
            let isLocal = await policy.content.completedClients.contains(
                clientAddress,
                socketAddress: facts.socketAddress,
                name: knownName,
                isAuthenticated: isAuthenticated
            )
        else { return Reply(451, .init(4, 3, 0), "Temporary lookup error") }
        transaction?.completesHeaders = isLocal
        return nil
    }

    /// What rules want done with the message. A reply when it cannot be done.
    func apply(_ actions: [MessageAction]) -> Reply? {
        for action in actions {
            switch action {
            case .prepend(let header): transaction?.prependedHeaders.append(header)
            case .discard: transaction?.isDiscarded = true
            case .hold:
                // The hand-off cannot carry HOLD yet; taking the mail without it would deliver what an administrator wants to see first.
                log.warning("\(queueName): HOLD action is not supported; message deferred")
                return Reply(451, .init(4, 3, 5), "Server configuration error")
            }
        }
        return nil
    }
}

/// The parameters of MAIL that are honoured: SIZE (RFC 1870), BODY (RFC 6152), AUTH (RFC 4954).
struct MailParameters {
    private(set) var size: Int?
    private(set) var body = BodyType.unspecified
    private var hasAuth = false

    /// Takes one `NAME=value`; gives the refusal when it is not understood.
    mutating func read(_ parameter: ArraySlice<UInt8>) -> Reply? {
        let equals = parameter.firstIndex(of: UInt8(ascii: "="))
        let name = String(decoding: parameter[..<(equals ?? parameter.endIndex)], as: UTF8.self).uppercased()
        let value = equals.map { parameter[($0 + 1)...] } ?? []
        switch (name, equals != nil) {
        case ("SIZE", true): return readSize(value)
        case ("BODY", true):
            switch String(decoding: value, as: UTF8.self).uppercased() {
            case "8BITMIME": body = .eightBitMIME
            case "7BIT": body = .sevenBit
            default: return Self.unsupported(parameter)
            }
            return nil
        case ("AUTH", true):
            // The identity is not passed on: no trusted peer asserts one here (RFC 4954 section 5 lets us treat it as AUTH=<>).
            if value.elementsEqual("<>".utf8) { return nil }
            if hasAuth { return Reply(503, .init(5, 5, 4), "Error: multiple AUTH= options") }
            hasAuth = true
            return nil
        case ("RET", true), ("ENVID", true): return Reply(501, .init(5, 7, 1), "DSN support is disabled")
        default: return Self.unsupported(parameter)
        }
    }

    private mutating func readSize(_ value: ArraySlice<UInt8>) -> Reply? {
        guard value.allSatisfy(\.isASCIIDigit) else { return Reply(501, .init(5, 5, 4), "Bad message size syntax") }
        guard let size = Int(String(decoding: value, as: UTF8.self)) else {
            return value.isEmpty
                ? Reply(501, .init(5, 5, 4), "Bad message size syntax")
                : Reply(552, .init(5, 3, 4), "Message size exceeds file system imposed limit")
        }
        self.size = size
        return nil
    }

    static func unsupported(_ parameter: ArraySlice<UInt8>) -> Reply {
        Reply(555, .init(5, 5, 4), "Unsupported option: \(Session.printable(parameter))")
    }
}
