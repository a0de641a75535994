import SMTPCore
import Settings

/// Completes addresses that a mail program of this site may write (`append_at_myorigin`, `append_dot_mydomain`, `swap_bangpath`,
/// `allow_percent_hack`).
struct AddressRewriter: Sendable {
    var myOrigin: String
    var myDomain: String
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

    /// - Parameter isMailboxName: the local part was written in quotes: what looks like a route in it is none.
    func rewrite(_ address: Address, isMailboxName: Bool = false) -> Address {
        if address.isNull { return address }
        var result = address
        if result.domain == nil, !isMailboxName { result = routed(result.localPart) ?? result }
        if result.domain == nil, appendsAtMyOrigin { result.domain = myOrigin }
        if let domain = result.domain {
            result.domain = domain.utf8.first == UInt8(ascii: "[") ? Self.withoutTrailingDot(domain) : completed(domain)
        }
        return result
    }

    private func completed(_ domain: String) -> String {
        let dot = UInt8(ascii: ".")
        let bare = Self.withoutTrailingDot(domain)
        if bare.utf8.contains(dot) || domain.isEmpty || !appendsDotMyDomain { return bare }
        // `host.` is complete without `mydomain`. Its dot stays, so that completing it once more does not append either; resolving drops it.
        return domain.utf8.last == dot ? domain : "\(domain).\(myDomain)"
    }

    /// Two dots in a row stay: that is bad syntax, and is to be seen as such.
    static func withoutTrailingDot(_ domain: String) -> String {
        let dot = UInt8(ascii: ".")
        guard domain.utf8.count > 1, domain.utf8.last == dot, domain.utf8.dropLast().last != dot else { return domain }
        return String(decoding: domain.utf8.dropLast(), as: UTF8.self)
    }

    /// `site!user` and `user%site` as `user@site`; nil if the local part holds neither.
    func routed(_ localPart: String) -> Address? {
        let text = localPart.utf8
        if swapsBangPath, let bang = text.firstIndex(of: UInt8(ascii: "!")) {
            let (site, user) = Self.parts(text, around: bang)
            return Address(localPart: user, domain: site)
        }
        if allowsPercentHack, let percent = text.lastIndex(of: UInt8(ascii: "%")) {
            let (user, site) = Self.parts(text, around: percent)
            return Address(localPart: user, domain: site)
        }
        return nil
    }

    /// Bytes, not characters: with a combining mark behind it a `!` is another character, but the next host still sees a `!`.
    private static func parts(_ text: String.UTF8View, around index: String.Index) -> (String, String) {
        (String(decoding: text[..<index], as: UTF8.self), String(decoding: text[text.index(after: index)...], as: UTF8.self))
    }

    /// Whether another host may read more than a mailbox's name in it, whatever `swap_bangpath` and `allow_percent_hack` say here.
    static func holdsRouting(_ localPart: String) -> Bool {
        localPart.utf8.contains { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: "!") || $0 == UInt8(ascii: "%") }
    }

    /// The address that a local part of our own domain asks us to route to: `user@site`, `site!user` or `user%site`; nil if it is a
    /// plain mailbox name. Quoting does not hide it (`resolve_dequoted_address = yes`).
    func routing(in localPart: String) -> Address? {
        if let at = localPart.utf8.lastIndex(of: UInt8(ascii: "@")) {
            let (user, site) = Self.parts(localPart.utf8, around: at)
            return Address(localPart: user, domain: site)
        }
        return routed(localPart)
    }
}
