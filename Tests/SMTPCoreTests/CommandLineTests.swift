import SMTPCore
import Testing

@Suite struct CommandLineTests {
    @Test(arguments: [
        ("", []),
        ("   ", []),
        ("NOOP", ["NOOP"]),
        ("  NOOP \t x ", ["NOOP", "x"]),
        ("MAIL FROM:<a@b>", ["MAIL", "FROM:", "<a@b>"]),
        ("MAIL FROM: <a@b> SIZE=1", ["MAIL", "FROM:", "<a@b>", "SIZE=1"]),
        ("mail from:<a@b>", ["mail", "from:", "<a@b>"]),
        ("RCPT TO:a@b", ["RCPT", "TO:", "a@b"]),
        ("RCPT TO : a@b", ["RCPT", "TO", ":", "a@b"]),
        ("RCPT TO:<\"a b\"@c> X", ["RCPT", "TO:", "<\"a b\"@c>", "X"]),
        ("RCPT TO:<a b@c>", ["RCPT", "TO:", "<a b@c>"]),
        ("RCPT TO:\"x y\" <a>", ["RCPT", "TO:", "\"x y\"", "<a>"]),
        ("RCPT TO:<a\\>b> X", ["RCPT", "TO:", "<a\\>b>", "X"]),
        ("RCPT TO:a@b> X", ["RCPT", "TO:", "a@b>", "X"]),
        ("to:<x", ["to:", "<x"]),
        ("a\\", ["a\\"]),
    ])
    func tokens(_ line: String, _ expected: [String]) {
        let command = CommandLine(line)
        #expect((0..<command.count).map { command.text($0) } == expected)
    }

    @Test(arguments: [("RCPT TO:<a", true), ("RCPT TO:\"a", true), ("RCPT TO:<\"a>", true), ("RCPT TO:<a>", false), ("RCPT TO:<<a>", true)])
    func unbalanced(_ line: String, _ expected: Bool) {
        let command = CommandLine(line)
        #expect(command.tokens.last?.isUnbalanced == expected)
    }

    @Test func verbKeysIgnoreCaseAndRefuseLongWords() {
        #expect(VerbKey("starttls".utf8) == VerbKey("STARTTLS".utf8))
        #expect(VerbKey("MAIL".utf8) != VerbKey("RCPT".utf8))
        #expect(VerbKey("NINELETTERS".utf8) == nil)
        #expect(VerbKey("".utf8) == nil)
        #expect(CommandLine("ehlo x").verbKey == VerbKey("EHLO".utf8))
    }

    /// No input may trap: every prefix of every hostile line is split, and every token parsed.
    @Test func hostileLinesNeverTrap() {
        let lines = [
            "RCPT TO:<\"\\", "MAIL FROM:((((", "<<<<>>>>\"\"\\\\", "TO:TO:TO:FROM:", "\u{0}\u{1}\r\n\t", "[[[]]]@[", "<@,@:;:@>",
            "a@@@b..c",
        ]
        for line in lines {
            let bytes = Array(line.utf8)
            for end in 0...bytes.count {
                let command = CommandLine(Array(bytes[..<end]))
                for index in 0..<command.count { _ = PathParser.parse(command[index]) }
                _ = PathParser.parse(bytes[..<end])
                _ = PathParser.parse(bytes[..<end], strict: true)
            }
        }
    }
}
