import Resolver
import SMTPCore

/// `reject_unknown_helo_hostname`: the HELO name has neither an address nor an MX record.
struct RejectUnknownHeloHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let helo = run.facts.heloName else { return .dunno }
        if let rejection = run.rejectionOfBadLiteral(helo) { return .reject(rejection) }
        if helo.first == "[" { return .dunno }
        let addresses = await run.environment.names.addresses(of: helo)
        if case .found = addresses { return .dunno }
        let exchangers = await run.environment.names.mailExchangers(of: helo)
        if case .found = exchangers { return .dunno }
        let status = EnhancedStatusCode(4, 7, 1)
        if addresses.isTemporaryFailure || exchangers.isTemporaryFailure {
            let reply = run.heloRejection(450, status, "Host not found")
            return run.environment.tempfail.helo == .defer ? .reject(reply) : .deferIfPermit(reply)
        }
        return .reject(run.heloRejection(run.environment.codes.unknownHostname, status, "Host not found"))
    }
}

extension NameAnswer {
    var isTemporaryFailure: Bool { if case .temporaryFailure = self { true } else { false } }
}
