import SMTPCore
import Settings

/// Completes addresses that a mail program of this site may write (`append_at_myorigin`, `append_dot_mydomain`, `swap_bangpath`,
/// `allow_percent_hack`).
struct AddressRewriter: Sendable {
    let myOrigin: String
    let myDomain: String
    let appendsAtMyOrigin: Bool
    let appendsDotMyDomain: Bool
    let swapsBangPath: Bool
    let allowsPercentHack: Bool

    init(settings: ServiceSettings) {
        myOrigin = settings.text("myorigin")
        myDomain = settings.text("mydomain")
        appendsAtMyOrigin = settings.bool("append_at_myorigin")
        appendsDotMyDomain = settings.bool("append_dot_mydomain")
        swapsBangPath = settings.bool("swap_bangpath")
        allowsPercentHack = settings.bool("allow_percent_hack")
    }

    func rewrite(_ address: Address) -> Address {
        if address.isNull { return address }
        var result = address
        if result.domain == nil { result = routed(result.localPart) ?? result }
        if result.domain == nil, appendsAtMyOrigin { result.domain = myOrigin }
        if let domain = result.domain {
            if appendsDotMyDomain, !domain.isEmpty, !domain.utf8.contains(UInt8(ascii: ".")), domain.utf8.first != UInt8(ascii: "[") {
                result.domain = "\(domain).\(myDomain)"
            } else if domain.utf8.count > 1, domain.utf8.last == UInt8(ascii: ".") {
                result.domain = String(domain.dropLast())
            }
        }
        return result
    }

    /// `site!user` and `user%site` as `user@site`; nil if the local part holds neither.
    func routed(_ localPart: String) -> Address? {
        if swapsBangPath, let bang = localPart.firstIndex(of: "!") {
            return Address(localPart: String(localPart[localPart.index(after: bang)...]), domain: String(localPart[..<bang]))
        }
        if allowsPercentHack, let percent = localPart.lastIndex(of: "%") {
            return Address(localPart: String(localPart[..<percent]), domain: String(localPart[localPart.index(after: percent)...]))
        }
        return nil
    }

    /// The address that a local part of our own domain asks us to route to: `user@site`, `site!user` or `user%site`; nil if it is a
    /// plain mailbox name. Quoting does not hide it (`resolve_dequoted_address = yes`).
    func routing(in localPart: String) -> Address? {
        if let at = localPart.lastIndex(of: "@") {
            return Address(localPart: String(localPart[..<at]), domain: String(localPart[localPart.index(after: at)...]))
        }
        return routed(localPart)
    }
}
