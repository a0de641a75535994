/// The syntax of host names as Postfix takes it for names that come from the DNS: RFC 1123 letters, digits and hyphens, and the underscore.
package enum HostnameSyntax {
    /// Whether `name` is a host name: labels of 1 to 63 letters, digits, hyphens and underscores, no hyphen at either end of a label, at
    /// most 255 bytes, and not all digits and dots (which would pass for an address).
    package static func isValid(_ name: String) -> Bool {
        guard (1...255).contains(name.utf8.count) else { return false }
        var hasNonDigit = false
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard (1...63).contains(label.count), label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else { return false }
            for byte in label {
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): continue
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    hasNonDigit = true
                default: return false
                }
            }
        }
        return hasNonDigit
    }
}
