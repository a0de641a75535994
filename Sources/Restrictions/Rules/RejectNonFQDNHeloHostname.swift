import Routing
import SMTPCore

/// `reject_non_fqdn_helo_hostname`: the HELO name has no dot, or is no host name.
struct RejectNonFQDNHeloHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let helo = run.facts.heloName else { return .dunno }
        if let rejection = run.rejectionOfBadLiteral(helo) { return .reject(rejection) }
        let name = HeloName.withoutTrailingDot(helo)
        // Beyond ASCII it is a host name for a message with SMTPUTF8 only, as in Postfix.
        let isHostName = run.facts.isUTF8 ? run.environment.router.domainEncoder.isHostName(name) : DomainSyntax.isHostName(name)
        if helo.first == "[" || name.utf8.contains(UInt8(ascii: ".")) && isHostName { return .dunno }
        return .reject(run.heloRejection(run.environment.codes.nonFQDN, EnhancedStatusCode(5, 5, 2), "need fully-qualified hostname"))
    }
}
