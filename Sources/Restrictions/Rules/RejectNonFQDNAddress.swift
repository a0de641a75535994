import Routing
import SMTPCore

/// `reject_non_fqdn_sender` and `reject_non_fqdn_recipient`: the address as given has no domain with a dot. Literals pass.
struct RejectNonFQDNAddress: Rule {
    let side: EnvelopeSide

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let address = side.address(run.facts) else { return .dunno }
        if let domain = address.domain {
            let name = HeloName.withoutTrailingDot(domain)
            let isHostName = run.environment.router.domainEncoder.isHostName(name)
            if domain.first == "[" && domain.last == "]" || name.utf8.contains(UInt8(ascii: ".")) && isHostName { return .dunno }
        }
        let code = run.environment.codes.nonFQDN
        return .reject(side.rejection(code, EnhancedStatusCode(5, 5, 2), address, "need fully-qualified address"))
    }
}
