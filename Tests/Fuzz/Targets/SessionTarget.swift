import SMTPCore

extension FuzzTarget {
    /// A whole connection. The first byte picks a configuration and the manner: in lockstep, a line at a time with one reply demanded for
    /// each command, or in pieces of any size. The rest is what the client sends.
    static let session = FuzzTarget(
        "session",
        words: [
            "EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n", ".\r\n", "RSET\r\n",
            "NOOP\r\n",
            "VRFY a\r\n", "QUIT\r\n", "AUTH PLAIN\r\n", "AUTH PLAIN AGEAYg==\r\n", "AUTH LOGIN\r\n", "*\r\n", "STARTTLS\r\n",
            "GET / HTTP/1.1\r\n",
            "\r\n", "\n.\n", "\r.\r", "\n.\r\n", "SIZE=1", "BODY=8BITMIME", "BDAT 5 LAST\r\n", "BDAT 0\r\n", "<>", "ETRN d\r\n", "HELP\r\n",
            "XCLIENT A=b\r\n",
        ],
        seeds: [
            "\u{0}EHLO x\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n",
            "\u{10}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\nhello\r\n.\r\nRSET\r\nQUIT\r\n",
            "\u{0}HELO x\r\nAUTH PLAIN AGEAYg==\r\nVRFY a@b.example\r\nNOOP\r\nFOO\r\nQUIT\r\n",
            "\u{1}EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYQ==\r\nMAIL FROM:<>\r\nRCPT TO:<\"a b\"@d.example>\r\nDATA\r\na\n.\nb\r\n.\r\n",
            "\u{2}HELO x\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d.example>\nDATA\nx\n.\nQUIT\n",
            "\u{13}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\na\n.\r\nMAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n",
        ],
        run: runSession
    )

    private static let configurations: [[String: String]] = [
        [:],
        ["smtpd_forbid_bare_newline": "reject", "smtpd_helo_required": "yes", "smtpd_delay_reject": "no"],
        ["smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no", "strict_rfc821_envelopes": "yes"],
        [
            "smtpd_forbid_unauth_pipelining": "no", "message_size_limit": "300", "smtpd_recipient_limit": "2",
            "smtpd_junk_command_limit": "3",
            "line_length_limit": "64", "smtpd_recipient_restrictions": "reject_non_fqdn_sender, permit_mynetworks, reject",
            "always_add_missing_headers": "yes",
        ],
    ]

    @Sendable private static func runSession(_ bytes: [UInt8]) throws {
        guard let choice = bytes.first else { return }
        let isStrict = choice & 3 != 2
        let harness = try SessionHarness(configurations[Int(choice & 3)])
        let input = bytes.dropFirst()
        if choice & 0x10 == 0 {
            try lockstep(harness, input)
        } else {
            for piece in Array(input).pieces(maximum: 1 + Int(choice >> 5) * 40) { harness.send(piece) }
        }
        try harness.hangUp()
        let replies = try parsed(harness.output)
        let lineEnds = input.count { $0 == 0x0A }
        // The greeting, a reply to each line, one to an over-long line, one at the end.
        try require(replies.count <= lineEnds + 3 + input.count / 64, "\(replies.count) replies to \(lineEnds) lines")
        try checkMessages(harness, input, isStrict: isStrict)
        for line in harness.log.lines {
            try require(!line.utf8.contains(0x0A) && !line.utf8.contains(0x0D), "a line end in the log: \(line)")
        }
    }

    /// Sends a line, wants its reply, sends the next.
    private static func lockstep(_ harness: SessionHarness, _ input: ArraySlice<UInt8>) throws {
        var known = try parsed(harness.output)
        try require(known.count == 1, "\(known.count) greetings")
        var rest = input
        while let end = rest.firstIndex(of: 0x0A) {
            let line = rest[...end]
            rest = rest[(end + 1)...]
            let before = known
            guard let last = before.last, !harness.isClosed else { break }
            harness.send(line)
            known = try parsed(harness.output)
            if line.starts(with: "STARTTLS".utf8) || takesContent(line) { return }
            let new = known.count - before.count
            if last == 354 {
                // The message may be the last of too many errors.
                try require(new <= 1 || (new == 2 && known.last == 421), "\(new) replies within DATA")
            } else if new == 0, line.count > 60 {
                // Over-long, and its connection may have been cut off without a word: seen by what follows.
                return
            } else {
                // The error limit adds its own.
                try require(new == 1 || (new == 2 && known.last == 421), "\(new) replies to \(shown(line)) in \(shown(harness.output))")
            }
        }
        harness.send(rest)
    }

    /// BDAT: what follows is no line.
    private static func takesContent(_ line: ArraySlice<UInt8>) -> Bool { CommandLine(Array(line)).verbKey == VerbKey("BDAT".utf8) }

    /// The codes of the replies; throws on anything that is not a complete reply.
    private static func parsed(_ output: [UInt8]) throws -> [Int] {
        var codes: [Int] = []
        var previous: UInt8 = 0
        for byte in output {
            try require(byte != 0x0A || previous == 0x0D, "a bare line feed in \(shown(output))")
            try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in \(shown(output))")
            previous = byte
        }
        try require(output.isEmpty || previous == 0x0A, "half a line in \(shown(output))")
        var open: Int?
        for line in output.split(separator: 0x0A) {
            let text = line.dropLast()
            guard text.count >= 4, let code = Int(String(decoding: text.prefix(3), as: UTF8.self)), (200...599).contains(code) else {
                throw FuzzViolation(description: "no reply: \(shown(line))")
            }
            let separator = text[text.startIndex + 3]
            try require(separator == 0x20 || separator == 0x2D, "no reply: \(shown(line))")
            if let open { try require(open == code, "two codes in one reply: \(shown(output))") }
            open = separator == 0x2D ? code : nil
            if open == nil { codes.append(code) }
        }
        try require(open == nil, "a reply without its end: \(shown(output))")
        return codes
    }

    /// No more messages than ends of data, and nothing in them that another server could take for one.
    private static func checkMessages(_ harness: SessionHarness, _ input: ArraySlice<UInt8>, isStrict: Bool) throws {
        let content = Array(input)
        if isStrict {
            let mark = Array("\r\n.\r\n".utf8)
            let ends = content.count < 5 ? 0 : (0...(content.count - 5)).count { content[$0..<($0 + 5)].elementsEqual(mark) }
            let chunks =
                content.count < 4
                ? 0 : (0...(content.count - 4)).count { content[$0..<($0 + 4)].map(\.asciiUppercased) == Array("BDAT".utf8) }
            // DATA ended by a bare LF leaves the dot's line without a CRLF before it.
            let bare =
                content.count < 3
                ? 0
                : (0...(content.count - 3)).count {
                    content[$0..<($0 + 3)].elementsEqual(".\r\n".utf8) && ($0 == 0 || content[$0 - 1] == 0x0A)
                }
            try require(
                harness.queue.messages.count <= max(ends, bare) + chunks,
                "\(harness.queue.messages.count) messages from \(ends) ends of data"
            )
        }
        for message in harness.queue.messages {
            var previous: UInt8 = 0
            for byte in message.content {
                try require(byte != 0x0A || previous == 0x0D, "a bare line feed in a message")
                try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in a message")
                previous = byte
            }
            for recipient in message.envelope.recipients { try checkOnward(recipient.address, from: content) }
            if !message.envelope.sender.isNull { try checkOnward(message.envelope.sender, from: content) }
        }
    }
}
