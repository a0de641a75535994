import MailLog
import Restrictions
import SMTPCore

extension Session {
    /// STARTTLS (RFC 3207).
    func startTLS(_ command: CommandLine) async -> Outcome {
        if let refusal = refusal(toStartTLS: command) { return .reply(refusal) }
        await send(Self.readyToStartTLS)
        // From here to the handler's insertion nothing may be awaited.
        writeOutput()
        let succeeded = await openTLS(lostAfter: "STARTTLS")
        // What was said in plaintext may have been said by anyone (RFC 3207 section 4.2); that it was EHLO decides nothing, and smtpd(8) keeps it.
        endTransaction()
        forwarded = nil
        facts.heloName = nil
        facts.saslMethod = nil
        facts.saslUsername = nil
        return Outcome(reply: nil, succeeded: succeeded)
    }

    @inline(never)
    private func refusal(toStartTLS command: CommandLine) -> Reply? {
        guard command.count == 1 else { return Reply(501, .init(5, 5, 4), "Syntax: STARTTLS") }
        guard tls == nil else { return Reply(554, .init(5, 5, 1), "Error: TLS already active") }
        guard policy.tls.level != .none, !hiddenKeywords.contains(.startTLS) else {
            return Reply(502, .init(5, 5, 1), "Error: command not implemented")
        }
        guard service.tls != nil else {
            return Reply(454, .init(4, 7, 0), "TLS not available due to local problem")
        }
        if isOverTLSSessionRate {
            log.warning("Refusing STARTTLS request from \(clientText) for service \(policy.serviceName)")
            return Reply(454, .init(4, 7, 0), "Error: too many new TLS sessions from \(clientText)")
        }
        return nil
    }

    private static let readyToStartTLS = Reply(220, .init(2, 0, 0), "Ready to start TLS")
}
