import Testing

@testable import Routing

/// Domains beyond ASCII. The answers are those of Postfix 3.7.11: the names that its smtp(8) asked a name server for, and the reasons that
/// trivial-rewrite(8) logged.
@Suite struct DomainEncoderTests {
    private let encoder = DomainEncoder(isEnabled: true, isTransitional: false)

    private func outcome(_ name: String, _ encoder: DomainEncoder) -> String {
        do throws(DomainEncoder.Problem) { return try encoder.asciiForm(of: name) } catch { return "\(error)" }
    }

    private static let names: [(String, String)] = [
        // What is ASCII is left alone, whatever it is.
        ("example.com", "example.com"), ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("xn--zz.example", "xn--zz.example"),
        ("XN--A", "XN--A"), ("a..b", "a..b"), ("", ""),
        // UTS #46: case, composition, width, other full stops.
        ("bücher.example", "xn--bcher-kva.example"), ("BÜCHER.Example", "xn--bcher-kva.example"),
        ("bu\u{308}cher.example", "xn--bcher-kva.example"), ("ｂücher.example", "xn--bcher-kva.example"),
        ("bücher。example", "xn--bcher-kva.example"), ("bücher．example", "xn--bcher-kva.example"),
        ("bücher.example.", "xn--bcher-kva.example."),
        ("sub.bücher.example", "sub.xn--bcher-kva.example"), ("ü", "xn--tda"), ("ü.1", "xn--tda.1"), ("ü_b.example", "xn--_b-wka.example"),
        ("Ⅳ.example", "iv.example"), ("½.example", "xn--12-c6t.example"), ("☕.example", "xn--53h.example"), ("日本語.jp", "xn--wgv71a119e.jp"),
        ("xn--bcher-kva.ü", "xn--bcher-kva.xn--tda"),
        // What IDNA2003 took for another name.
        ("faß.de", "xn--fa-hia.de"), ("ς.example", "xn--3xa.example"), ("क्\u{200D}ष.example", "xn--11b2ezcw70k.example"),
        // Neither writing direction nor joiners are looked at.
        ("נאמ.example", "xn--4db2ae.example"), ("aנאמ.example", "xn--a-0hc6bg.example"), ("a\u{200D}b.example", "xn--ab-m1t.example"),
    ]

    @Test(arguments: names)
    func asked(_ name: String, _ ascii: String) {
        #expect(outcome(name, encoder) == ascii)
    }

    private static let refusals: [(String, String)] = [
        ("ü..example", "UIDNA_ERROR_EMPTY_LABEL"), (".ü", "UIDNA_ERROR_EMPTY_LABEL"), ("．ü", "UIDNA_ERROR_EMPTY_LABEL"),
        ("-ü.example", "UIDNA_ERROR_LEADING_HYPHEN"), ("ü--x--.example", "UIDNA_ERROR_TRAILING_HYPHEN"),
        ("bü--cher.example", "UIDNA_ERROR_HYPHEN_3_4"), ("\u{301}a.example", "UIDNA_ERROR_LEADING_COMBINING_MARK"),
        ("\u{2FF0}.example", "UIDNA_ERROR_DISALLOWED"), ("\u{FFFD}.x", "UIDNA_ERROR_DISALLOWED"), ("ü\u{E000}.x", "UIDNA_ERROR_DISALLOWED"),
        ("xn--ü.example", "UIDNA_ERROR_PUNYCODE"), ("xn--99999999.ü", "UIDNA_ERROR_PUNYCODE"), ("xn--.ü", "UIDNA_ERROR_INVALID_ACE_LABEL"),
        ("xn--a.ü", "UIDNA_ERROR_INVALID_ACE_LABEL"),
        // What has an ASCII form, which is no host name.
        ("ü/b.example", "malformed ASCII label(s)"), ("a b.ü", "malformed ASCII label(s)"), ("ü.a\nb", "malformed ASCII label(s)"),
        ("ü\0.example", "malformed ASCII label(s)"), ("ü@x.example", "malformed ASCII label(s)"),
        ("ü.[192.0.2.1]", "malformed ASCII label(s)"),
        // ... or an address.
        ("１２７.0.0.1", "malformed ASCII label(s)"), ("①②⑦.⓪.⓪.①", "malformed ASCII label(s)"),
    ]

    @Test(arguments: refusals)
    func refused(_ name: String, _ reason: String) {
        #expect(outcome(name, encoder) == reason)
        #expect(!encoder.isHostName(name))
    }

    /// Labels and names at their longest: 63 and 253 bytes of ASCII.
    @Test func theLongestNames() {
        let longest = String(repeating: "ü", count: 57)
        #expect(outcome(longest, encoder).utf8.count == 63)
        #expect(outcome(longest + "ü", encoder) == "UIDNA_ERROR_LABEL_TOO_LONG")
        let name = Array(repeating: longest, count: 3).joined(separator: ".")
        #expect(outcome(name + "." + String(repeating: "a", count: 61), encoder).utf8.count == 253)
        #expect(outcome(name + "." + String(repeating: "a", count: 62), encoder) == "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG")
        #expect(outcome(String(repeating: "ü", count: 100_000), encoder) == "UIDNA_ERROR_DOMAIN_NAME_TOO_LONG")
    }

    /// Anything may come from a client: no name traps, and what comes out is a host name.
    @Test func randomNames() {
        var random = SystemRandomNumberGenerator()
        let pieces = [
            "xn--", "-", ".", "。", "ü", "ß", "\u{200D}", "\u{200C}", "א", "1", "a", "\u{301}", "\0", "☕", "\u{10FFFF}", "٠", "[", "K",
        ]
        for _ in 0..<20_000 {
            let count = Int.random(in: 1...40, using: &random)
            let name = (0..<count).map { _ in
                Bool.random(using: &random)
                    ? pieces.randomElement(using: &random)! : String(UnicodeScalar(UInt32.random(in: 0...0xD7FF, using: &random))!)
            }.joined()
            guard name.isBeyondASCII, let ascii = try? encoder.asciiForm(of: name) else { continue }
            #expect(DomainSyntax.isHostName(ascii.hasSuffix(".") ? String(ascii.dropLast()) : ascii), "\(name.debugDescription)")
        }
    }

    /// `enable_idna2003_compatibility`.
    @Test func transitional() {
        let transitional = DomainEncoder(isEnabled: true, isTransitional: true)
        #expect(outcome("faß.de", transitional) == "fass.de")
        #expect(outcome("ς.example", transitional) == "xn--4xa.example")
        #expect(outcome("bücher.example", transitional) == "xn--bcher-kva.example")
    }

    @Test func withoutSMTPUTF8() {
        let disabled = DomainEncoder(isEnabled: false, isTransitional: false)
        #expect(outcome("bücher.example", disabled) == "smtputf8_enable = no")
        #expect(!disabled.isHostName("bücher.example"))
        #expect(disabled.isHostName("xn--bcher-kva.example"))
    }

    @Test func theLibraryIsThere() { #expect(DomainEncoder.isAvailable) }
}
