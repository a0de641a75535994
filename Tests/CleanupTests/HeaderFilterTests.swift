import Cleanup
import NIOCore
import SMTPCore
import Testing

/// What comes out was compared with Postfix 3.7.11's cleanup(8).
@Suite struct HeaderFilterTests {
    static let policy = HeaderPolicy(
        droppedNames: ["bcc", "content-length", "resent-bcc", "return-path"],
        sizeLimit: 102_400,
        hopLimit: 50
    )
    static let completion = HeaderCompletion(
        queueID: QueueID(rawValue: 0xABCD),
        host: "mx.example",
        sender: Address(localPart: "a b", domain: "c.example"),
        date: MailTime(epochSeconds: 1_795_229_649),
        undisclosedRecipients: ""
    )
    static let id = "Message-Id: <20261121025409.000000ABCD@mx.example>\r\n"
    static let date = "Date: Sat, 21 Nov 2026 02:54:09 +0000 (UTC)\r\n"
    static let from = "From: \"a b\"@c.example\r\n"

    /// Runs `input` through a filter, cut at `cut`.
    static func run(_ input: String, completion: HeaderCompletion?, policy: HeaderPolicy = policy, cut: Int? = nil) -> (
        String, HeaderFilter
    ) {
        var filter = HeaderFilter(policy: policy, completion: completion)
        var output = ByteBuffer()
        var waiting = ByteBuffer()
        let bytes = Array(input.utf8)
        let pieces = cut.map { [bytes[..<$0], bytes[$0...]] } ?? [bytes[...]]
        for piece in pieces {
            waiting.writeBytes(piece)
            filter.consume(&waiting, into: &output)
        }
        filter.finish(into: &output)
        output.writeBuffer(&waiting)
        return (String(buffer: output), filter)
    }

    @Test(arguments: [
        ("Subject: x\r\n\r\nb\r\n", "Subject: x\r\n" + id + date + from + "\r\nb\r\n"),
        ("body only\r\n", id + date + from + "\r\nbody only\r\n"),
        (" blank first\r\nSubject: y\r\n", id + date + from + "\r\n blank first\r\nSubject: y\r\n"),
        ("From me now\r\nSubject: y\r\n\r\n", "X-Mailbox-Line: From me now\r\nSubject: y\r\n" + id + date + from + "\r\n"),
        (">From me\r\n\r\n", "X-Mailbox-Line: >From me\r\n" + id + date + from + "\r\n"),
        ("Subject: y\r\nnot a header\r\nX: y\r\n", "Subject: y\r\n" + id + date + from + "\r\nnot a header\r\nX: y\r\n"),
        (
            "Subject : y\r\nBcc : a@b\r\n c@d\r\nReturn-Path: <x>\r\nContent-Length: 4\r\nX:1\r\n\r\n",
            "Subject: y\r\nX:1\r\n" + id + date + from + "\r\n"
        ),
        ("Resent-From: q@r\r\n\r\n", "Resent-From: q@r\r\nResent-" + id + "Resent-" + date + "\r\n"),
        ("Date: x\r\nFrom:\r\nTo: \r\nMessage-Id:\r\n\r\nb\r\n", "Date: x\r\nFrom:\r\nTo: \r\nMessage-Id:\r\n\r\nb\r\n"),
        ("Subject: y\r\n", "Subject: y\r\n" + id + date + from),
        ("\r\nbody\r\n", id + date + from + "\r\nbody\r\n"),
        (": y\r\n\r\nb\r\n", id + date + from + "\r\n: y\r\n\r\nb\r\n"),
        ("A b: y\r\n", id + date + from + "\r\nA b: y\r\n"),
        ("Subject: a\r\n \r\nX: b\r\n\r\n", "Subject: a\r\n \r\nX: b\r\n" + id + date + from + "\r\n"),
    ])
    func completed(_ input: String, _ expected: String) {
        for cut in 0...input.utf8.count {
            #expect(Self.run(input, completion: Self.completion, cut: cut).0 == expected, "cut at \(cut)")
        }
    }

    @Test func strangersMailIsNotCompleted() {
        let (output, filter) = Self.run("Subject: x\r\nBCC: y\r\n\r\nb\r\n", completion: nil)
        #expect(output == "Subject: x\r\n\r\nb\r\n")
        #expect(filter.messageIDs.map(\.value) == ["<>"])
    }

    @Test func messageIDsAreRemembered() {
        let (_, filter) = Self.run("Resent-Message-Id: <a@b>\r\nMessage-ID:  <c@d>  (c)\r\n\t<x>\r\n\r\n", completion: nil)
        #expect(filter.messageIDs.map { "\($0.isResent) \($0.value)" } == ["true <a@b>", "false <c@d>  (c)??<x>"])
    }

    @Test(arguments: [(48, false), (49, true), (60, true)])
    func hopLimit(_ count: Int, _ exceeded: Bool) {
        let (_, filter) = Self.run(String(repeating: "Received: x\r\n", count: count) + "\r\n", completion: nil)
        #expect(filter.exceedsHopLimit == exceeded)
    }

    @Test func aLoopsMessageIDsAreNotRemembered() {
        let loop = String(repeating: "Received: x\r\n", count: 49)
        let (_, filter) = Self.run("Message-Id: <a@b>\r\n" + loop + "Resent-Message-Id: <c@d>\r\n\r\n", completion: nil)
        #expect(filter.messageIDs.map(\.value) == ["<a@b>"])
        #expect(Self.run(loop + "\r\n", completion: Self.completion).1.messageIDs.isEmpty)
    }

    /// Seen from Postfix: a name of more than `line_length_limit` is none, and line ends count against `header_size_limit`.
    @Test func longNamesAndLineEnds() {
        let name = String(repeating: "X", count: 3000) + ": a\r\n"
        for cut in [0, 1000, 2047, 2048, 2049, 3000, name.utf8.count] {
            #expect(Self.run(name + "\r\nbody\r\n", completion: nil, cut: cut).0 == "\r\n" + name + "\r\nbody\r\n", "cut at \(cut)")
        }
        var small = Self.policy
        small.sizeLimit = 20
        #expect(Self.run("X: 3456789\r\n 23456789\r\n\r\n", completion: nil, policy: small).0 == "X: 3456789\r\n 23456789\r\n\r\n")
        #expect(Self.run("X: 34567890\r\n 23456789\r\n\r\n", completion: nil, policy: small).0 == "X: 34567890\r\n\r\n")
    }

    @Test func longHeadersAreTruncated() {
        var small = Self.policy
        small.sizeLimit = 3000
        let long = "X: " + String(repeating: "y", count: 5000) + "\r\n"
        let kept = "X: " + String(repeating: "y", count: 2997) + "\r\n"
        let full = "Y: " + String(repeating: "y", count: 2990) + "\r\n"
        let input = long + full + " does not fit\r\n nor this\r\nBcc: " + String(repeating: "z", count: 4000) + "\r\nZ: 1\r\n\r\nbody\r\n"
        for cut in stride(from: 0, through: input.utf8.count, by: 97) {
            #expect(Self.run(input, completion: nil, policy: small, cut: cut).0 == kept + full + "Z: 1\r\n\r\nbody\r\n", "cut at \(cut)")
        }
    }

    /// Every header with addresses is offered once, whole; what is not taken up stays as it was.
    @Test func headersWithAddresses() {
        let input = "Subject: bob\r\nFrom : alice\r\nTo: a,\r\n b\r\nX: y\r\nReply-To: c@d\r\nBcc: e\r\nResent-Reply-To: f\r\n"
        let expected = "Subject: bob\r\nFrom: alice@o.x\r\nTo: a@o.x, b@o.x\r\nX: y\r\nReply-To: c@d\r\nResent-Reply-To: f@o.x\r\n"
        for end in ["", "\r\nbody\r\n", "not a header\r\n"] {
            for cut in 0...input.utf8.count {
                var sides: [AddressHeader.Side] = []
                let output = Self.rewriting(input + end, cut: cut) { header in
                    sides.append(header.side)
                    var list = header.addresses(tokenLimit: 100)
                    guard list?.mailboxes.contains(where: { $0.address.domain == nil }) == true else { return nil }
                    for (index, mailbox) in (list?.mailboxes ?? []).enumerated() {
                        list?.replace(index, with: Address(localPart: mailbox.address.localPart, domain: "o.x"))
                    }
                    return list
                }
                #expect(output == expected + (end.hasPrefix("not") ? "\r\n" : "") + end, "cut at \(cut)")
                #expect(sides == [.sender, .recipient, .sender, .recipient])
            }
        }
    }

    static func rewriting(_ input: String, cut: Int, _ rewrite: (AddressHeader) -> AddressList?) -> String {
        var filter = HeaderFilter(policy: policy, completion: nil, rewritesAddresses: true)
        var (output, waiting) = (ByteBuffer(), ByteBuffer())
        for piece in [Array(input.utf8)[..<cut], Array(input.utf8)[cut...]] {
            waiting.writeBytes(piece)
            filter.consume(&waiting, into: &output)
            while let header = filter.waitingHeader {
                filter.resume(with: rewrite(header), into: &output)
                filter.consume(&waiting, into: &output)
            }
        }
        filter.finish(into: &output)
        while let header = filter.waitingHeader {
            filter.resume(with: rewrite(header), into: &output)
            filter.finish(into: &output)
        }
        output.writeBuffer(&waiting)
        return String(buffer: output)
    }

    @Test func aMegabyteLineIsBody() {
        let line = String(repeating: "x", count: 1_000_000) + "\r\n"
        #expect(Self.run(line, completion: nil).0 == "\r\n" + line)
    }
}

@Suite struct ReceivedHeaderTests {
    static func header() -> ReceivedHeader {
        ReceivedHeader(
            heloName: "h",
            clientName: "unknown",
            clientAddress: .v4(0x7F00_0001),
            host: "mx.test.example",
            product: "Postfix",
            protocolName: "ESMTP",
            queueID: QueueID(rawValue: 0xD3_580F_7815),
            date: MailTime(epochSeconds: 1_795_229_712)
        )
    }

    static func text(_ header: ReceivedHeader) -> String {
        var out = ByteBuffer()
        header.write(into: &out)
        return String(buffer: out)
    }

    @Test func oneRecipient() {
        var header = Self.header()
        header.recipient = "c@d.example"
        #expect(
            Self.text(header)
                == "Received: from h (unknown [127.0.0.1])\r\n\tby mx.test.example (Postfix) with ESMTP id D3580F7815\r\n"
                + "\tfor <c@d.example>; Sat, 21 Nov 2026 02:55:12 +0000 (UTC)\r\n"
        )
    }

    @Test func severalRecipientsStayBlind() {
        #expect(Self.text(Self.header()).hasSuffix("id D3580F7815;\r\n\tSat, 21 Nov 2026 02:55:12 +0000 (UTC)\r\n"))
    }

    @Test func tlsAndLogin() {
        var header = Self.header()
        header.tlsLines = [
            "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
            " key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)",
            "(No client certificate requested)",
        ]
        header.authenticatedSender = "al(ice"
        #expect(
            Self.text(header).contains(
                "\r\n\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)\r\n"
                    + "\t key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256)\r\n"
                    + "\t(No client certificate requested)\r\n\t(Authenticated sender: al(ice))\r\n\tby "
            )
        )
    }

    @Test func onlyTheFirstMessageIDsAreLogged() {
        let headers = (0..<1000).map { "Message-Id: <\($0)>\r\n" }.joined()
        let (text, filter) = HeaderFilterTests.run(headers + "\r\n", completion: nil)
        #expect(text == headers + "\r\n")
        #expect(filter.messageIDs.count == 16)
    }

    @Test func hiddenClient() {
        var header = Self.header()
        header.hidesClient = true
        #expect(Self.text(header).hasPrefix("Received: by mx.test.example (Postfix) id D3580F7815;\r\n\t"))
    }

    @Test(arguments: [("a\\b\u{7}", "a?b?"), ("a)b", "a?b"), ("ä", "?"), ("(()", "(())"), ("((", "(())")])
    func comments(_ text: String, _ expected: String) { #expect(ReceivedHeader.commentText(text) == expected) }

    @Test(arguments: [
        (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000 (UTC)"),
        (951_782_400, 0, "Tue, 29 Feb 2000 00:00:00 +0000 (UTC)"),
        (4_102_444_799, 0, "Thu, 31 Dec 2099 23:59:59 +0000 (UTC)"),
        (1_795_229_712, -12_600, "Fri, 20 Nov 2026 23:25:12 -0330 (UTC)"),
        (1_795_229_712, 20_700, "Sat, 21 Nov 2026 08:40:12 +0545 (UTC)"),
    ])
    func dates(_ seconds: Int, _ offset: Int, _ expected: String) {
        #expect(MailTime(epochSeconds: seconds, offsetSeconds: offset).headerDate == expected)
    }
}
