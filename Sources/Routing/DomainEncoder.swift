import CICU
package import Settings

/// Domain names beyond ASCII in the form in which the DNS has them (A-labels, RFC 5890): UTS #46 processing by the ICU library, with the
/// options that Postfix sets. The rules on writing direction and joiners are not among them: they are for registries, and a name that none has
/// given out is not found.
package struct DomainEncoder: Sendable, Hashable {
    /// Why a name has no ASCII form.
    package struct Problem: Error, Hashable, CustomStringConvertible {
        package let description: String
    }

    /// Names beyond ASCII are taken at all (`smtputf8_enable`).
    let isEnabled: Bool
    /// `ß` as `ss`, as IDNA2003 had it (`enable_idna2003_compatibility`).
    let isTransitional: Bool

    package init(settings: ServiceSettings) {
        self.init(isEnabled: settings.bool("smtputf8_enable"), isTransitional: settings.bool("enable_idna2003_compatibility"))
    }

    init(isEnabled: Bool, isTransitional: Bool) {
        self.isEnabled = isEnabled
        self.isTransitional = isTransitional
    }

    /// Whether the library has its data; without them no name beyond ASCII has an ASCII form.
    package static var isAvailable: Bool { unsafe Library.nontransitional.handle != nil && Library.transitional.handle != nil }

    /// `domain` as it is, if it is ASCII. What comes out of the conversion is a host name, and never an IP address.
    package func asciiForm(of domain: String) throws(Problem) -> String {
        guard domain.isBeyondASCII else { return domain }
        guard isEnabled else { throw Problem(description: "smtputf8_enable = no") }
        // No name of 255 bytes takes more than this, and the time that punycode takes grows with the square of the length.
        guard domain.utf8.count <= Self.longestName else { throw Problem(description: "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG") }
        let ascii = try converted(domain)
        let relative = ascii.utf8.last == UInt8(ascii: ".") ? String(ascii.dropLast()) : ascii
        // Also `１２７.０.０.１`, which becomes an address.
        guard DomainSyntax.isHostName(relative) else { throw Problem(description: "malformed ASCII label(s)") }
        return ascii
    }

    /// Whether `name` is a host name, or has the ASCII form of one.
    package func isHostName(_ name: String) -> Bool {
        guard name.isBeyondASCII else { return DomainSyntax.isHostName(name) }
        do throws(Problem) { return try !asciiForm(of: name).isEmpty } catch { return false }
    }

    private static let longestName = 1_020

    private func converted(_ domain: String) throws(Problem) -> String {
        let library = isTransitional ? Library.transitional : Library.nontransitional
        var problems: UInt32 = 0
        let ascii = unsafe String(unsafeUninitializedCapacity: 512) { (buffer: UnsafeMutableBufferPointer<UInt8>) -> Int in
            var domain = domain
            return domain.withUTF8 { name in
                unsafe name.withMemoryRebound(to: CChar.self) { name in
                    unsafe buffer.withMemoryRebound(to: CChar.self) { buffer in
                        let length = unsafe postern_idna_ascii(
                            library.handle,
                            name.baseAddress,
                            Int32(name.count),
                            buffer.baseAddress,
                            Int32(buffer.count),
                            &problems
                        )
                        return max(0, Int(length))
                    }
                }
            }
        }
        if problems != 0 { throw Problem(description: Self.name(ofFirst: problems)) }
        guard !ascii.isEmpty else { throw Problem(description: "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG") }
        return ascii
    }

    /// ICU's name of the lowest bit.
    private static func name(ofFirst problems: UInt32) -> String {
        let names = [
            "EMPTY_LABEL", "LABEL_TOO_LONG", "DOMAIN_NAME_TOO_LONG", "LEADING_HYPHEN", "TRAILING_HYPHEN", "HYPHEN_3_4",
            "LEADING_COMBINING_MARK", "DISALLOWED", "PUNYCODE", "LABEL_HAS_DOT", "INVALID_ACE_LABEL", "BIDI", "CONTEXTJ",
            "CONTEXTO_PUNCTUATION", "CONTEXTO_DIGITS",
        ]
        let bit = problems.trailingZeroBitCount
        return "UIDNA_ERROR_" + (bit < names.count ? names[bit] : String(problems, radix: 16))
    }

    /// What ICU has opened, at the first name beyond ASCII: its data are part of the library, so that no file is read. Never closed.
    @safe private final class Library: @unchecked Sendable {
        static let nontransitional = Library(isTransitional: false)
        static let transitional = Library(isTransitional: true)

        let handle: OpaquePointer?

        private init(isTransitional: Bool) { unsafe handle = postern_idna_open(isTransitional) }
    }
}

extension String {
    /// Has characters beyond ASCII.
    package var isBeyondASCII: Bool {
        let bytes = utf8.span
        for index in bytes.indices where bytes[index] >= 0x80 { return true }
        return false
    }
}
