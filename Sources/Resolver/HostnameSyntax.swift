internal import SMTPCore

/// The syntax of host names as Postfix takes it for names that come from the DNS: RFC 1123 letters, digits and hyphens, and the underscore.
package enum HostnameSyntax {
    /// Whether `name` is a host name: labels of 1 to 63 letters, digits, hyphens and underscores, no hyphen at either end of a label, at
    /// most 255 bytes, and not all digits and dots (which would pass for an address).
    package static func isValid(_ name: String) -> Bool { problem(of: name) == nil }

    /// What keeps `name` from being a host name, in the words of Postfix's warning; nil if it is one.
    package static func problem(of name: String) -> String? {
        let shown = String(decoding: name.utf8.prefix(100), as: UTF8.self)
        if IPAddress(name) != nil { return "numeric hostname: \(shown)" }
        guard !name.isEmpty else { return "valid_hostname: empty hostname" }
        guard name.utf8.count <= 255 else { return "valid_hostname: bad length \(name.utf8.count) for \(shown)..." }
        var hasNonDigit = false
        for label in name.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard !label.isEmpty else { return "valid_hostname: misplaced delimiter: \(shown)" }
            guard label.count <= 63 else { return "valid_hostname: hostname label too long: \(shown)" }
            guard label.first != UInt8(ascii: "-"), label.last != UInt8(ascii: "-") else {
                return "valid_hostname: misplaced hyphen: \(shown)"
            }
            if let byte = label.first(where: { !isLetter($0) && !isDigit($0) }) {
                return "valid_hostname: invalid character \(byte)(decimal): \(shown)"
            }
            hasNonDigit = hasNonDigit || !label.allSatisfy(isDigit)
        }
        return hasNonDigit ? nil : "valid_hostname: numeric hostname: \(shown)"
    }

    /// Whether the C library takes `name` from a PTR record; of others Postfix does not hear.
    static func passesTheLibrary(_ name: DomainName) -> Bool {
        let text = name.description.utf8
        return text.first != UInt8(ascii: "-") && text.allSatisfy { isLetter($0) || isDigit($0) || $0 == UInt8(ascii: ".") }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (0x61...0x7A).contains(byte | 0x20) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
    }
}
