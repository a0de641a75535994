import SMTPCore
import Testing

@testable import Resolver

@Suite struct DomainNameTests {
    @Test(arguments: [
        ("example.com", "example.com"), ("Example.COM.", "Example.COM"), ("a", "a"), ("_dmarc.x", "_dmarc.x"),
        (String(repeating: "a", count: 63) + ".b", String(repeating: "a", count: 63) + ".b"),
    ])
    func accepts(text: String, printed: String) {
        #expect(DomainName(text)?.description == printed)
    }

    @Test(arguments: [
        "", ".", "..", "a..b", ".a", String(repeating: "a", count: 64), Array(repeating: "abcdefg", count: 32).joined(separator: "."),
    ])
    func refuses(text: String) {
        #expect(DomainName(text) == nil)
    }

    @Test func caseDoesNotMatter() throws {
        let one = try #require(DomainName("Mail.Example")), other = try #require(DomainName("mAIL.example."))
        #expect(one == other && one.hashValue == other.hashValue)
        // 0x40 and 0x60, 0x5B and 0x7B are no letters.
        #expect(DomainName("a@b") != DomainName("a`b") && DomainName("a[b") != DomainName("a{b"))
        #expect(DomainName("ab") != DomainName("a.b"))
    }

    @Test func aLabelCannotPassForStructure() {
        let name = DomainName(wire: [5, 0x61, 0x2E, 0x62, 0x0A, 0x5C, 0])
        #expect(name.description == "a\\.b\\010\\\\")
        #expect(!HostnameSyntax.isValid(name.description))
    }

    @Test(arguments: [
        ("192.0.2.1", "1.2.0.192.in-addr.arpa"),
        ("2001:db8::567:89ab", "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
    ])
    func reverseNames(address: String, name: String) throws {
        #expect(DomainName(reverse: try #require(IPAddress(address))).description == name)
    }

    @Test(arguments: [
        ("mail.example.com", true), ("under_score.example", true), ("3com.com", true), ("localhost", true), ("xn--bcher-kva.example", true),
        ("", false), ("-a.example", false), ("a-.example", false), ("a..b", false), ("a.", false), ("1.2.3.4", false), ("a b", false),
        ("a\u{7}b", false), ("bücher.example", false), ("a[b]", false), (String(repeating: "a", count: 64), false),
    ])
    func hostnameSyntax(name: String, isValid: Bool) {
        #expect(HostnameSyntax.isValid(name) == isValid)
    }
}
