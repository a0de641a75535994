import Restrictions
import SMTPCore

extension Session {
    /// RSET (RFC 5321 section 4.1.1.5).
    func rset(_ command: CommandLine) -> Outcome {
        guard command.count == 1 else { return .reply(Reply(501, .init(5, 5, 4), "Syntax: RSET")) }
        endTransaction()
        forwarded = nil
        return .reply(Self.ok)
    }

    /// NOOP, with or without an argument.
    func noop() -> Outcome { .reply(Self.ok) }

    /// QUIT, with or without an argument.
    func quit() -> Outcome { .reply(Reply(221, .init(2, 0, 0), "Bye", closes: true)) }

    /// VRFY: says nothing about the address but that it would be taken (RFC 5321 section 3.5.3), after all checks that RCPT makes.
    func vrfy(_ command: CommandLine) async -> Outcome {
        if policy.disableVRFY { return .reply(Reply(502, .init(5, 5, 1), "VRFY command is disabled")) }
        // Compared with smtpd(8): the option may be there only where SMTPUTF8 is on.
        let isUTF8 = policy.checksUTF8 && command.count == 3 && command.matches(2, "smtputf8")
        guard command.count == 2 || isUTF8 else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: VRFY address\(policy.checksUTF8 ? " [SMTPUTF8]" : "")"))
        }
        if let refusal = overRecipientRate() { return .reply(refusal) }
        switch await path(command, 1, verb: "VRFY", isUTF8: isUTF8) {
        case .refused(let reply): return .reply(reply)
        case .address(let address, _):
            if address.isNull { return .reply(illegal(command, 1, verb: "VRFY")) }
            let decision = await rejection(at: .vrfy, state: "VRFY", recipient: address)
            if let reply = decision.rejection { return .reply(reply) }
            return .reply(Reply(252, .init(2, 0, 0), command.text(1)))
        }
    }

    static let ok = Reply(250, .init(2, 0, 0), "Ok")
}
