package import SMTPCore

/// What may stand behind the `@`.
package enum DomainSyntax {
    /// A host name in ASCII or an address literal.
    package static func isValid(_ domain: String) -> Bool {
        domain.utf8.first == UInt8(ascii: "[") ? AddressLiteral.address(domain) != nil : isHostName(domain)
    }

    /// Labels of letters, digits, `-` and `_`, 1 to 63 long, no `-` at either end; 255 in all; not digits and dots only.
    package static func isHostName(_ name: String) -> Bool {
        guard (1...255).contains(name.utf8.count) else { return false }
        var onlyDigits = true
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else { return false }
            for byte in label {
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): break
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                    onlyDigits = false
                default: return false
                }
            }
        }
        return !onlyDigits
    }
}

/// `[192.0.2.1]` and `[IPv6:2001:db8::1]`.
package enum AddressLiteral {
    /// The address inside the brackets; nil if `domain` is no address literal (RFC 5321 section 4.1.3).
    package static func address(_ domain: some StringProtocol) -> IPAddress? {
        guard domain.first == "[", domain.last == "]" else { return nil }
        let inner = domain.dropFirst().dropLast()
        if inner.prefix(5).lowercased() == "ipv6:" {
            guard let address = IPAddress(inner.dropFirst(5)), case .v6 = address else { return nil }
            return address
        }
        guard let address = IPAddress(inner), case .v4 = address else { return nil }
        return address
    }
}
