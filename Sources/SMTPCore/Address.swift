/// A mailbox as it is used in an envelope: local part and domain, both unquoted ("internal form").
///
/// The null reverse-path `<>` is ``null``. An address whose domain is missing has not been completed yet (`postmaster`).
package struct Address: Sendable, Hashable, CustomStringConvertible {
    /// Unquoted; may hold any character except CR, LF and NUL.
    package var localPart: String
    /// nil when the address has no `@`. Address literals keep their brackets: `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    package var domain: String?

    package init(localPart: String, domain: String?) {
        self.localPart = localPart
        self.domain = domain
    }

    /// The null reverse-path, `<>`.
    package static let null = Address(localPart: "", domain: nil)

    package var isNull: Bool { localPart.isEmpty && domain == nil }

    /// Internal form: unquoted `local@domain`, as table look-ups see it.
    package var internalForm: String { if let domain { "\(localPart)@\(domain)" } else { localPart } }

    /// External form: the local part quoted where RFC 5321 section 4.1.2 demands it. Empty for the null address.
    package var description: String {
        let local = Self.isDotString(localPart) || isNull ? localPart : Self.quoted(localPart)
        return if let domain { "\(local)@\(domain)" } else { local }
    }

    /// Whether the local part needs no quotes: atoms joined by single dots. Bytes above 127 are atom text (RFC 6531).
    package static func isDotString(_ text: String) -> Bool {
        var previousWasDot = true
        for byte in text.utf8 {
            if byte == UInt8(ascii: ".") {
                if previousWasDot { return false }
                previousWasDot = true
            } else {
                guard isAtomText(byte) else { return false }
                previousWasDot = false
            }
        }
        return !previousWasDot
    }

    /// `atext` of RFC 5322 section 3.2.3, and all of RFC 6531's UTF8-non-ascii.
    package static func isAtomText(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"), UInt8(ascii: "'"),
            UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "/"), UInt8(ascii: "="), UInt8(ascii: "?"),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "{"), UInt8(ascii: "|"), UInt8(ascii: "}"),
            UInt8(ascii: "~"):
            true
        default: byte >= 0x80
        }
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" { out += "\\" }
            out.unicodeScalars.append(scalar)
        }
        return out + "\""
    }
}
