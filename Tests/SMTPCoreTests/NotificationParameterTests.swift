import SMTPCore
import Testing

/// xtext, unitext, and what stands in them on the way from the client to the next hop. What is taken and refused is in
/// `Tests/Dialogues/envelope/dsn-parameters.smtp`.
@Suite struct NotificationParameterTests {
    @Test(arguments: [
        ("rfc822;a@b", "rfc822;a@b"), ("rfc822;o+2Bx@y", "rfc822;o+2Bx@y"), ("rfc822;b\u{FC}@x", "rfc822;b+C3+BC@x"),
        ("utf-8;b\u{FC}@x", "utf-8;b\\x{FC}@x"), ("utf-8;b\\x{fc}@x", "utf-8;b\\x{FC}@x"), ("utf-8;\\x{5C}", "utf-8;\\x{5C}"),
        ("rfc822;a+0D+0Ab", "rfc822;a??b"), ("utf-8;\\x{0A}", "utf-8;?"), ("utf-8;\\x{D800}", "utf-8;?"), ("utf-8;a b", "utf-8;a\\x{20}b"),
        ("rfc822;+20", "rfc822;+20"), ("UTF-8;+41", "UTF-8;\\x{2B}41"),
        // Balanced quotes pass as they are; what would take the next word of the command in does not.
        ("rfc822;\"a+20b\"@c", "rfc822;\"a+20b\"@c"), ("rfc822;a+22", "rfc822;a+22"), ("rfc822;a\\", "rfc822;a+5C"),
        ("rfc822;a<b", "rfc822;a+3Cb"), ("utf-8;a\"", "utf-8;a\\x{22}"),
        ("rfc822;\u{33F}a\\", "rfc822;+CC+BFa+5C"),
        // A type is an atom (RFC 3461 section 4.2) and is not encoded.
        ("x=+y;a", "x=+y;a"), ("x\"<\u{E4};a", "x????;a"),
    ]) func originalRecipientOnItsWay(_ example: (given: String, passedOn: String)) throws {
        let decoded = try #require(OriginalRecipient.decoded(Array(example.given.utf8)))
        #expect(OriginalRecipient.encoded(decoded) == example.passedOn)
    }

    @Test(arguments: ["QQ 314", "a+b=c", "~", "a\"b", "<", "\\"]) func envelopeIDThereAndBack(_ text: String) {
        let command = CommandLine("MAIL FROM:<a@b> ENVID=\(XText.word(text)) RET=FULL")
        #expect(command.count == 5)
        #expect(EnvelopeIdentifier.decoded(command[3].dropFirst(6)) == text)
    }

    @Test func noBytesTrap() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("+;\\x{}09Aaü=".utf8)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...12, using: &random)).map { _ in alphabet.randomElement(using: &random) ?? 0 }
            if let decoded = OriginalRecipient.decoded(bytes) {
                #expect(OriginalRecipient.encoded(decoded).utf8.allSatisfy { (0x21..<0x7F).contains($0) })
            }
            _ = EnvelopeIdentifier.decoded(bytes)
        }
    }
}
