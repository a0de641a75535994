import Routing
import SMTPCore

/// `reject_invalid_helo_hostname`: the HELO name is neither a host name nor an IP address.
struct RejectInvalidHeloHostname: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let helo = run.facts.heloName else { return .dunno }
        if let rejection = run.rejectionOfBadLiteral(helo) { return .reject(rejection) }
        if helo.first == "[" || IPAddress(helo) != nil || DomainSyntax.isHostName(HeloName.withoutTrailingDot(helo)) { return .dunno }
        return .reject(run.heloRejection(run.environment.codes.invalidHostname, EnhancedStatusCode(5, 5, 2), "Invalid name"))
    }
}

enum HeloName {
    static func withoutTrailingDot(_ name: String) -> String {
        name.utf8.count > 1 && name.utf8.last == UInt8(ascii: ".") ? String(name.dropLast()) : name
    }
}

extension Evaluation {
    func heloRejection(_ code: Int, _ status: EnhancedStatusCode, _ text: String) -> Reply {
        Replies.make(code, status, "<\(facts.heloName ?? "")>: Helo command rejected: \(text)")
    }

    /// nil unless `helo` begins as an address literal and is none.
    func rejectionOfBadLiteral(_ helo: String) -> Reply? {
        guard helo.first == "[", AddressLiteral.address(helo) == nil else { return nil }
        return heloRejection(environment.codes.invalidHostname, EnhancedStatusCode(5, 5, 2), "invalid ip address")
    }
}
