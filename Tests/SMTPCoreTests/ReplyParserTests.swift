import SMTPCore
import Testing

/// The parser of server replies: the same result wherever the bytes are cut, and bounds that hold against any server.
@Suite struct ReplyParserTests {
    static let cases: [(wire: String, codes: [Int], texts: [String], statuses: [String])] = [
        ("250 2.0.0 Ok: queued as ABC\r\n", [250], ["250 2.0.0 Ok: queued as ABC"], ["2.0.0"]),
        ("250-a\r\n250-PIPELINING\r\n250 SIZE 10\r\n", [250], ["250-a 250-PIPELINING 250 SIZE 10"], ["2.0.0"]),
        ("550-5.1.1 No such user\r\n550 5.1.1 really not\r\n", [550], ["550-5.1.1 No such user 550 5.1.1 really not"], ["5.1.1"]),
        ("250 ok\n354 go\n", [250, 354], ["250 ok", "354 go"], ["2.0.0", "2.0.0"]),
        ("421\r\n", [421], ["421"], ["4.0.0"]),
        ("550 4.2.2 contradicts itself\r\n", [550], ["550 4.2.2 contradicts itself"], ["5.0.0"]),
        ("450 4.2\r\n", [450], ["450 4.2"], ["4.0.0"]),
        ("553 5.7.1 tab\there\r\n", [553], ["553 5.7.1 tab?here"], ["5.7.1"]),
        ("220-a\r\n421 b\r\n", [421], ["220-a 421 b"], ["4.0.0"]),
    ]

    @Test(arguments: cases) func replies(_ example: (wire: String, codes: [Int], texts: [String], statuses: [String])) throws {
        for cut in 0...example.wire.utf8.count {
            let replies = try parse([Array(example.wire.utf8.prefix(cut)), Array(example.wire.utf8.dropFirst(cut))])
            #expect(replies.map(\.code) == example.codes)
            #expect(replies.map(\.logText) == example.texts)
            #expect(replies.map(\.effectiveStatus.description) == example.statuses)
        }
    }

    @Test func linesAreWithoutCode() throws {
        let reply = try #require(try parse([Array("250-mail.example\r\n250-SIZE 5\r\n250 X\r\n".utf8)]).first)
        #expect(reply.lines == ["mail.example", "SIZE 5", "X"])
    }

    @Test(arguments: [
        "hello there\r\n", "\r\n", "25\r\n", "999 x\r\n", "250x\r\n", "25a ok\r\n", " 250 ok\r\n", "\u{0}\u{0}\u{0} x\r\n", "199 x\r\n",
    ])
    func malformed(_ wire: String) {
        #expect(throws: ReplyParser.Failure.self) { try parse([Array(wire.utf8)]) }
    }

    @Test func aLongLineIsCutAndTheRestForgotten() throws {
        let replies = try parse([Array("250 ".utf8), Array(repeating: UInt8(ascii: "x"), count: 1_000_000), Array("\r\n354 go\r\n".utf8)])
        #expect(replies.map(\.code) == [250, 354])
        #expect(replies[0].text.utf8.count <= 2048)
    }

    @Test func endlessRepliesAreRefused() {
        #expect(throws: ReplyParser.Failure.replyTooLong) { try parse([Array(String(repeating: "250-more\r\n", count: 1000).utf8)]) }
        #expect(throws: ReplyParser.Failure.tooManyReplies) { try parse([Array(String(repeating: "250 more\r\n", count: 5000).utf8)]) }
    }

    @Test func isInsideReply() throws {
        var parser = ReplyParser()
        #expect(!parser.isInsideReply)
        try parser.consume(Array("250-a\r\n".utf8).span)
        #expect(parser.isInsideReply && !parser.hasReply)
    }

    /// Any bytes, cut anywhere: never a trap, and never more than the bounds allow.
    @Test func noise() {
        var random = SystemRandomNumberGenerator()
        let alphabet = Array("250-354 \r\n\n\n45x\u{0}ÿ.2".utf8)
        for _ in 0..<2_000 {
            var parser = ReplyParser()
            do {
                for _ in 0..<Int.random(in: 1...20, using: &random) {
                    let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in alphabet.randomElement(using: &random)! }
                    try parser.consume(bytes.span)
                    while let reply = parser.next() { #expect((200...599).contains(reply.code) && reply.text.utf8.count <= 70_000) }
                }
            } catch {}
        }
    }

    private func parse(_ pieces: [[UInt8]]) throws -> [ServerReply] {
        var parser = ReplyParser()
        var replies: [ServerReply] = []
        for piece in pieces { try parser.consume(piece.span) }
        while let reply = parser.next() { replies.append(reply) }
        return replies
    }

    /// A verdict is kept for each recipient of a message: 250 lines of 200 bytes are not.
    @Test func theTextForTheLogIsCut() throws {
        var parser = ReplyParser()
        let text = (0..<250).map { "550\($0 < 249 ? "-" : " ")5.1.1 \(String(repeating: "\u{E4}", count: 100))\r\n" }.joined()
        try parser.consume(Array(text.utf8).span)
        let parsed = parser.next()
        let reply = try #require(parsed)
        #expect(reply.lines.count == 250)
        #expect(reply.logText.utf8.count <= ServerReply.logTextLimit + 3)
        #expect(reply.logText.hasPrefix("550-5.1.1 \u{E4}"))
        #expect(!reply.logText.contains("\n"))
    }
}
