import SMTPCore
import Testing

/// Accepted and refused forms were compared with Postfix 3.7.11.
@Suite struct PathParserTests {
    @Test(arguments: [
        ("<>", Address.null),
        ("<a@b.example>", Address(localPart: "a", domain: "b.example")),
        ("a@b.example", Address(localPart: "a", domain: "b.example")),
        ("a@b.example>", Address(localPart: "a", domain: "b.example")),
        ("<<a@b.example>>", Address(localPart: "a", domain: "b.example")),
        ("<postmaster>", Address(localPart: "postmaster", domain: nil)),
        ("<\"a b\"@c>", Address(localPart: "a b", domain: "c")),
        ("<\"a\\\"b\"@c>", Address(localPart: "a\"b", domain: "c")),
        ("<\"a\".\"b\"@c>", Address(localPart: "a.b", domain: "c")),
        ("<a\\@b@c>", Address(localPart: "a@b", domain: "c")),
        ("<a@b@c>", Address(localPart: "a@b", domain: "c")),
        ("<@x,@y:a@c>", Address(localPart: "a", domain: "c")),
        ("@x:a@c", Address(localPart: "a", domain: "c")),
        ("<g:a@c;>", Address(localPart: "a", domain: "c")),
        ("(comment)<a@c>(more (nested))", Address(localPart: "a", domain: "c")),
        ("Phrase<a@c>", Address(localPart: "a", domain: "c")),
        ("\"Phrase\"<a@c>", Address(localPart: "a", domain: "c")),
        ("<a(comment)@c>", Address(localPart: "a", domain: "c")),
        ("<a @ c . example>", Address(localPart: "a", domain: "c.example")),
        ("<a..b@c>", Address(localPart: "a..b", domain: "c")),
        ("<.a@c>", Address(localPart: ".a", domain: "c")),
        ("<a@[127.0.0.1]>", Address(localPart: "a", domain: "[127.0.0.1]")),
        ("<a@[IPv6:::1]>", Address(localPart: "a", domain: "[IPv6:::1]")),
        ("<@c.example>", Address(localPart: "", domain: "c.example")),
        ("<a%b@c>", Address(localPart: "a%b", domain: "c")),
        ("<a!b>", Address(localPart: "a!b", domain: nil)),
        ("<a\u{1}b@c>", Address(localPart: "a\u{1}b", domain: "c")),
        ("\"\"", Address.null),
        ("<;>", Address.null),
        ("(c", Address.null),
        ("<a@c,>", Address(localPart: "a", domain: "c")),
        ("<,a@c>", Address(localPart: "a", domain: "c")),
        ("<a(b@c>", Address(localPart: "a", domain: nil)),
        ("<mailto:a@c>", Address(localPart: "mailto:a", domain: "c")),
        ("<:>", Address(localPart: ":", domain: nil)),
        ("<g:h:a@c;>", Address(localPart: "a", domain: "c")),
        ("<\"a@c\">", Address(localPart: "a", domain: "c")),
        ("<\"a\tb\"@c>", Address(localPart: "a b", domain: "c")),
        ("<[b]@c>", Address(localPart: "[b]", domain: "c")),
        ("<a%[b]@c>", Address(localPart: "a%[b]", domain: "c")),
        ("<a@[127.0.0.1].>", Address(localPart: "a", domain: "[127.0.0.1].")),
        ("<a@[127.0.0.1>", Address(localPart: "a", domain: "[127.0.0.1]")),
    ])
    func accepted(_ text: String, _ expected: Address) {
        #expect(PathParser.parse(Array(text.utf8)[...]) == .address(expected))
    }

    @Test(arguments: [
        "<a b@c>", "<a@c>junk", "<a,b@c>", "<a@c,b@d>", "<\"a@c>", "<\"a\"b@c>", "<a;b@c>", "<a[b]@c>", "<a@>", "<[b]a@c>", "<a@c:>",
        "<a@::1>", "<a@[127.0.0.1]..>", "<a@[127.0.0.1>>",
        "<a\rb@c>", "<a\u{0}b@c>", "<a@c><b@d>x",
        "<a@b\\> SIZE=1>", "<a@b\\ c>", "<a@\"b c\">", "<a@b\\\\c>", "<a@b\\\"c>", "<a@[1.2> x]>", "<a@[a b]>",
    ])
    func illegal(_ text: String) {
        #expect(PathParser.parse(Array(text.utf8)[...]) == .illegal)
    }

    @Test func nonASCIIIsTold() {
        #expect(PathParser.parse(Array("<ä@c>".utf8)[...]) == .nonASCII(Address(localPart: "ä", domain: "c")))
        #expect(PathParser.parse(Array("<a@ä.example>".utf8)[...]) == .nonASCII(Address(localPart: "a", domain: "ä.example")))
    }

    @Test(arguments: ["a@c", "(x)<a@c>", "Phrase<a@c>", "<a(x)@c>", "<a@c"])
    func strictEnvelopes(_ text: String) {
        let result = PathParser.parse(Array(text.utf8)[...], strict: true)
        #expect(result == .illegal || text == "<a@c")
    }
}
