import SMTPCore
import Testing

/// What is written was compared with Postfix 3.7.11's cleanup(8), which completed the same headers with `@o.x`.
@Suite struct AddressListTests {
    /// The field `To:` with every address that has no domain completed.
    static func completed(_ text: String) -> String? {
        guard var list = AddressList.parse(text.utf8) else { return nil }
        for (index, mailbox) in list.mailboxes.enumerated() where mailbox.address.domain == nil {
            list.replace(index, with: Address(localPart: mailbox.address.localPart, domain: "o.x"))
        }
        return String(decoding: list.folded(name: "To".utf8), as: UTF8.self)
    }

    @Test(arguments: [
        (" alice", "To: alice@o.x"), (" Alice B <alice>", "To: Alice B <alice@o.x>"), (" alice (A. B.)", "To: alice@o.x (A. B.)"),
        (" a, b@h.x, \"c d\"@e.f ,  Foo Bar <x@y.z>,", "To: a@o.x, b@h.x, \"c d\"@e.f, Foo Bar <x@y.z>, "),
        (" group: a, b;, c", "To: group: a@o.x, b@o.x;, c@o.x"), (" Friends:;, a", "To: Friends: ;, a@o.x"),
        (" Friends of \"the house\": a, b@c.d;", "To: Friends of \"the house\": a@o.x, b@c.d;"),
        (" <@r,@t:a>", "To: <a@o.x>"), (" a b c", "To: a@o.x, b@o.x, c@o.x"), (" a;b", "To: a@o.x;, b@o.x"),
        (" Alice <a>; Bob <b>", "To: Alice <a@o.x>;Bob <b@o.x>"), (" a <b> c", "To: a <b@o.x>, c@o.x"), (" <a> <b>", "To: <a@o.x> <b@o.x>"),
        (" John Q. Public <a>", "To: John Q.Public <a@o.x>"), (" a.b . c", "To: a.b.c@o.x"), (" a\\@b", "To: \"a@b\"@o.x"),
        (" x,y (c) (d) z", "To: x@o.x, y@o.x, z@o.x (c) (d)"), (" (c) a (d) <b> (e), f (g)", "To: (c) a (d) <b@o.x>(e), f@o.x (g)"),
        (" a (c), (d) b", "To: a@o.x (c), b@o.x (d)"), (" d (y) e <f> (z) g", "To: d (y) e <f@o.x>, g@o.x (z)"),
        (" x <(c)a>", "To: x <a@o.x (c)>"), (" a@[1.2.3.4] b", "To: a@[1.2.3.4], b@o.x"), (" x <>, y", "To: x <>, y@o.x"),
        (" \"very \\\"quoted\\\" \\\\ thing\" <f>", "To: \"very \\\"quoted\\\" \\\\ thing\" <f@o.x>"), (" .a", "To: \".a\"@o.x"),
        (" ,a,", "To: , a@o.x, "), (" a , , b", "To: a@o.x, , b@o.x"), (" a\r\n (x\r\n y) <b>\r\n", "To: a (x  y) <b@o.x>"),
        (" ä, \"\" <b>", "To: ä@o.x, \"\" <b@o.x>"), (" a@b c.d <e>", "To: a@b c.d <e@o.x>"), (" a\\\r\n", nil), ("", "To: "),
    ])
    func rendering(_ text: String, _ expected: String?) { #expect(Self.completed(text) == expected) }

    /// Nobody can say what these mean, so nothing is changed.
    @Test(arguments: [
        " \"unterminated <b>", " (unterminated b", " [unterminated", " a> b", " <<a>>", " <a@b", " <a,b>", " a: b: c", " :a", " a)b",
        " a:b;c:d;",
    ])
    func brokenLists(_ text: String) { #expect(AddressList.parse(text.utf8) == nil) }

    @Test func domainsThatNeedQuotesAndBytesThatAreNoTextAreLeftAlone() {
        #expect(AddressList.parse(" a@\"b c\"".utf8)?.mailboxes.isEmpty == true)
        #expect(AddressList.parse([0x61, 0xFF]).map(\.mailboxes.isEmpty) == true)
        #expect(AddressList.parse(" a\u{1}b".utf8)?.mailboxes.isEmpty == true)
    }

    @Test(arguments: [
        ("12345678", "To: a@origin.example, bb@1234567890.1234567890.1234567890.12345678,\r\n\tx@origin.example"),
        ("1234567890", "To: a@origin.example, bb@1234567890.1234567890.1234567890.1234567890,\r\n\tx@origin.example"),
        ("12345678901", "To: a@origin.example,\r\n\tbb@1234567890.1234567890.1234567890.12345678901, x@origin.example"),
    ])
    func folding(_ last: String, _ expected: String) {
        let list = AddressList.parse("a@origin.example, bb@1234567890.1234567890.1234567890.\(last), x@origin.example".utf8)
        #expect(list.map { String(decoding: $0.folded(name: "To".utf8), as: UTF8.self) } == expected)
    }

    @Test func theNumberOfWordsIsBounded() {
        #expect(AddressList.parse("a,b,c".utf8, tokenLimit: 5) != nil)
        #expect(AddressList.parse("a,b,c".utf8, tokenLimit: 4) == nil)
    }
}
