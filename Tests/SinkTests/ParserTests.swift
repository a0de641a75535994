import NIOCore
import SMTPCore
import Testing

@testable import Sink

@Suite struct SinkParserTests {
    @Test(
        arguments: [
            ("127.0.0.1:2526", "127.0.0.1:2526"), ("[::1]:25", "[::1]:25"), ("2526", "127.0.0.1:2526"), ("unix:/run/s", "unix:/run/s"),
            ("::1:25", nil), (":25", nil), ("a:", nil), ("a:65536", nil), ("a:-1", nil), ("", nil), ("unix:", nil),
            ("unix:/" + String(repeating: "a", count: 107), nil),
        ] as [(String, String?)]
    )
    func endpoints(text: String, printed: String?) {
        #expect(SinkEndpoint(text)?.description == printed)
    }

    @Test(
        arguments: [
            ("rcpt=450", SinkFault(.rcpt, .reply(Reply(450, EnhancedStatusCode(4, 3, 0), "Error: the sink was told to fail here")))),
            ("rcpt=550 5.1.1 No such user", SinkFault(.rcpt, .reply(Reply(550, EnhancedStatusCode(5, 1, 1), "No such user")))),
            ("connect=554 go away", SinkFault(.connect, .reply(Reply(554, nil, "go away")))),
            ("dot=hang", SinkFault(.dot, .hang)), ("mail=drop:every 3", SinkFault(.mail, .drop, .every(3))),
            ("data=451 4.2.0 x:y:first 2", SinkFault(.data, .reply(Reply(451, EnhancedStatusCode(4, 2, 0), "x:y")), .first(2))),
            ("rcpt", nil), ("rcpt=", nil), ("nowhere=450", nil), ("rcpt=45", nil), ("rcpt=999", nil), ("rcpt=hang:every 0", nil),
            ("rcpt=hang:every x", nil), ("rcpt=+45", nil),
        ] as [(String, SinkFault?)]
    )
    func faults(text: String, fault: SinkFault?) {
        #expect(SinkFault(text) == fault)
    }

    @Test(
        arguments: [
            ("FROM:<a@b> SIZE=5 BODY=8BITMIME", SinkPath(path: "a@b", parameters: ["SIZE=5", "BODY=8BITMIME"])),
            ("from: <a@b>", SinkPath(path: "a@b", parameters: [])), ("FROM:<>", SinkPath(path: "", parameters: [])),
            (#"FROM:<"a> \"b"@c> X"#, SinkPath(path: #""a> \"b"@c"#, parameters: ["X"])),
            ("FROM:<a@b>X", nil), ("FROM:<a@b", nil), ("FROM:a@b", nil), ("TO:<a@b>", nil), ("FROM:", nil), ("", nil),
        ] as [(String, SinkPath?)]
    )
    func paths(argument: String, path: SinkPath?) {
        #expect(SinkCommandLine.path(argument, after: "FROM:") == path)
    }

    @Test(
        arguments: [
            ("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba"), ("Z", nil), ("Zg=", nil), ("Z===", nil),
            ("=Zg=", nil), ("Zm9v\n", nil), ("Zm!v", nil),
        ] as [(String, String?)]
    )
    func base64(text: String, decoded: String?) {
        #expect(Base64.decode(text).map { String(decoding: $0, as: UTF8.self) } == decoded)
    }

    /// Wire form up to and with the final dot, what it means, and what is left for the next command.
    private static let contents: [(wire: String, content: String, rest: String)] = [
        (".\r\nQUIT\r\n", "", "QUIT\r\n"),
        ("a\r\n.\r\n", "a\r\n", ""),
        ("..\r\n...a\r\n.b\r\n.\r\n", ".\r\n..a\r\nb\r\n", ""),
        ("a\n.\nb\r\n.\r\n", "a\n.\nb\r\n", ""),
        ("a\n.\r\nb\r\n.\r\n", "a\n.\r\nb\r\n", ""),
        ("a\r\n.\nb\r\n.\r\n", "a\r\n\nb\r\n", ""),
        ("a\r.\r\n.\r\n", "a\r.\r\n", ""),
        ("a\r\n.\r\r\n.\r\n", "a\r\n\r\r\n", ""),
        ("a\r\n.\rb\r\n.\r\nX", "a\r\n\rb\r\n", "X"),
        ("\r\n\r\n\r\n.\r\n", "\r\n\r\n\r\n", ""),
        ("a\r\r\n.\r\n", "a\r\r\n", ""),
        ("\u{0}\u{1}é\r\n.\r\n.\r\n", "\u{0}\u{1}é\r\n", ".\r\n"),
    ]

    @Test(arguments: contents)
    func contentWholeAndByteByByte(wire: String, content: String, rest: String) {
        for size in [wire.utf8.count, 1, 2, 3] {
            var decoder = ContentDecoder()
            var output = ByteBuffer()
            var pending = Array(wire.utf8)[...]
            var input = ByteBuffer()
            var isDone = false
            while !isDone, !pending.isEmpty {
                input.writeBytes(pending.prefix(size))
                pending = pending.dropFirst(size)
                isDone = decoder.decode(&input, into: &output)
            }
            #expect(isDone)
            #expect(Array(output.readableBytesView) == Array(content.utf8), "in pieces of \(size)")
            #expect(Array(input.readableBytesView) + pending == Array(rest.utf8))
        }
    }

    @Test func headersAndBody() {
        let text = "Received: one\r\nReceived: two\r\nSubject: a\r\n\tb\u{1B}[2J\r\nbroken\r\n\r\nBody: x\r\n\r\nmore\r\n"
        let message = SinkMessage(
            number: 1,
            peer: "p",
            protocolName: "ESMTP",
            heloName: "h",
            tlsVersion: nil,
            login: nil,
            sender: SinkPath(path: "a@b", parameters: []),
            recipients: [SinkPath(path: "c@d", parameters: ["NOTIFY=NEVER"])],
            content: Array(text.utf8)
        )
        #expect(message.header("received") == ["one", "two"])
        #expect(message.header("Subject") == ["a\tb\u{1B}[2J"])
        #expect(message.header("Body").isEmpty)
        #expect(message.body == "Body: x\r\n\r\nmore\r\n")
        #expect(message.summary.contains("RCPT TO:<c@d> NOTIFY=NEVER\n"))
        #expect(message.summary.contains("Received: one (and 1 more)\n"))
        #expect(message.summary.contains("Subject: a b?[2J\n"))
        #expect(!message.summary.contains("\u{1B}"))
        var bare = message
        bare.content = Array("\r\njust a body".utf8)
        #expect(bare.body == "just a body")
        #expect(bare.headerFields().isEmpty)
    }
}
