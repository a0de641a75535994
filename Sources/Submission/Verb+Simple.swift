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
        // Compared with smtpd(8): the option may be there only where SMTPUTF8 is on; all other words are the address.
        let isUTF8 = policy.checksUTF8 && command.count > 1 && command.matches(command.count - 1, "smtputf8")
        let words = (1..<max(1, command.count - (isUTF8 ? 1 : 0))).map { command[$0] }
        guard !words.isEmpty else {
            return .reply(Reply(501, .init(5, 5, 4), "Syntax: VRFY address\(policy.checksUTF8 ? " [SMTPUTF8]" : "")"))
        }
        if let refusal = overRecipientRate() { return .reply(refusal) }
        let text = Array(words.joined(separator: [0x20]))
        switch await path(text[...], verb: "VRFY", isUTF8: isUTF8, strict: false) {
        case .refused(let reply): return .reply(reply)
        case .address(let address, _):
            if address.isNull { return .reply(illegal(text[...], verb: "VRFY")) }
            let decision = await rejection(at: .vrfy, state: "VRFY", recipient: address)
            if let reply = decision.rejection { return .reply(reply) }
            return .reply(Reply(252, .init(2, 0, 0), String(decoding: text, as: UTF8.self)))
        }
    }

    static let ok = Reply(250, .init(2, 0, 0), "Ok")
}
