import HandOff
import MailLog
import Restrictions
import Routing
import SMTPCore
import Tables

extension Session {
    /// ETRN (RFC 1985): deferred mail for a domain is to be tried now. The replies have no enhanced codes, as in smtpd(8).
    @inline(never)
    func etrn(_ command: CommandLine) async -> Outcome {
        if policy.heloRequired, facts.heloName == nil { return .reply(Reply(503, nil, "Error: send HELO/EHLO first")) }
        if transaction != nil { return .reply(Reply(503, nil, "Error: MAIL transaction in progress")) }
        guard command.count == 2 else { return .reply(Reply(500, nil, "Syntax: ETRN domain")) }
        guard let domain = Self.domain(ofETRN: command.text(1)) else { return .reply(Reply(501, nil, "Error: invalid parameter syntax")) }
        facts.etrnDomain = domain
        let decision = await rejection(at: .etrn, state: "ETRN")
        facts.etrnDomain = nil
        if let reply = decision.rejection { return .reply(reply) }
        switch await mayFlush(domain) {
        case .yes where handOff.flush(domain: domain): return .reply(Reply(250, nil, "Queuing started"))
        case .no:
            log.warning("reject: ETRN \(domain.prefix(100))... from \(clientText)")
            return .reply(Reply(459, nil, "<\(domain)>: service unavailable"))
        case .yes: log.warning("ETRN \(domain.prefix(100)) from \(clientText): the queue role does not answer")
        case .failed(let reason): log.warning("fast_flush_domains: \(reason)")
        }
        return .reply(Reply(458, nil, "Unable to queue messages"))
    }

    /// `fast_flush_domains`. flush(8) finds no address literal in it, whatever stands there.
    private func mayFlush(_ domain: String) async -> ListMatch {
        let match = await service.fastFlush.contains(domain)
        if match == .yes, domain.hasPrefix("[") { return .no }
        return match
    }

    /// A host name or an address literal. One `@` or `#` ahead of it (RFC 1985 section 5.3) makes no difference to Postfix.
    private static func domain(ofETRN argument: String) -> String? {
        let domain = argument.hasPrefix("@") || argument.hasPrefix("#") ? String(argument.dropFirst()) : argument
        return DomainSyntax.isValid(domain) ? domain : nil
    }
}
