import Resolver
import Routing
import SMTPCore

/// `reject_unknown_helo_hostname`: the HELO name has neither an address nor an MX record.
struct RejectUnknownHeloHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let helo = run.facts.heloName else { return .dunno }
        if let rejection = run.rejectionOfBadLiteral(helo) { return .reject(rejection) }
        if helo.first == "[" { return .dunno }
        let status = EnhancedStatusCode(4, 7, 1)
        let notFound = run.heloRejection(run.environment.codes.unknownHostname, status, "Host not found")
        // RFC 5321 has no such names, and RFC 6531 section 3.7.1 none in EHLO: Postfix does not convert them.
        if helo.isBeyondASCII { return .reject(notFound) }
        let addresses = await run.environment.names.addresses(of: helo)
        if case .found = addresses { return .dunno }
        let exchangers = await run.environment.names.mailExchangers(of: helo)
        if case .found = exchangers { return .dunno }
        if addresses.isTemporaryFailure || exchangers.isTemporaryFailure {
            let reply = run.heloRejection(450, status, "Host not found")
            return run.environment.tempfail.helo == .defer ? .reject(reply) : .deferIfPermit(reply)
        }
        return .reject(notFound)
    }
}

extension NameAnswer {
    var isTemporaryFailure: Bool { if case .temporaryFailure = self { true } else { false } }
}
