import SMTPCore

extension FuzzTarget {
    /// A whole connection. The first byte picks a configuration and the manner: in lockstep, a line at a time with one reply demanded for
    /// each command, or in pieces of any size. The rest is what the client sends.
    static let session = FuzzTarget(
        "session",
        words: [
            "EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n", ".\r\n", "RSET\r\n",
            "NOOP\r\n", "VRFY a\r\n", "QUIT\r\n", "AUTH PLAIN\r\n", "AUTH PLAIN AGEAYg==\r\n", "AUTH LOGIN\r\n", "*\r\n", "STARTTLS\r\n",
            "GET / HTTP/1.1\r\n", "\r\n", "\n.\n", "\r.\r", "\n.\r\n", " SIZE=1", " BODY=8BITMIME", "BDAT 5 LAST\r\n", "BDAT 0\r\n",
            "BDAT 0 LAST\r\n", "<>", "ETRN d.example\r\n", "HELP\r\n", "XCLIENT ADDR=192.0.2.1\r\n", "XCLIENT LOGIN=a PROTO=ESMTP\r\n",
            "XFORWARD NAME=a.example SOURCE=LOCAL\r\n", " SMTPUTF8", " RET=FULL", " ENVID=a+2Bb", " NOTIFY=SUCCESS,DELAY",
            " ORCPT=rfc822;a+40b", " ORCPT=utf-8;\\x{E4}", "\u{E4}", "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\n", "From: a, b@c (d)\r\n",
            "Subject: x\r\n", "Bcc: a\r\n", "Received: x\r\n", "Message-Id: <x>\r\n", "HELO y\r\n", "FOO\r\n", " XVERP=+=", "BDAT ",
        ],
        seeds: [
            "\u{0}EHLO x\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<c@d.example>\r\nDATA\r\nSubject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n",
            "\u{10}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\nhello\r\n.\r\nRSET\r\nQUIT\r\n",
            "\u{0}HELO x\r\nAUTH PLAIN AGEAYg==\r\nVRFY a@b.example\r\nNOOP\r\nFOO\r\nQUIT\r\n",
            "\u{1}EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYQ==\r\nMAIL FROM:<>\r\nRCPT TO:<\"a b\"@d.example>\r\nDATA\r\na\n.\nb\r\n.\r\n",
            "\u{0}EHLO x\r\nETRN d.example\r\nETRN @x.f.example\r\nETRN #[192.0.2.1]\r\nETRN -\r\nMAIL FROM:<a@b>\r\nETRN d.example\r\n",
            "\u{2}HELO x\r\nMAIL FROM:<a@b>\nRCPT TO:<c@d.example>\nDATA\nx\n.\nQUIT\n",
            "\u{13}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\na\n.\r\nMAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n",
            "\u{4}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nSTARTTLS\r\nEHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nBDAT 5 LAST\r\na\r\nb\n",
            "\u{14}EHLO x\r\nSTARTTLS\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nEHLO x\r\n",
            "\u{34}EHLO x\r\nSTARTTLS\r\nnot a handshake\r\n",
            "\u{5}EHLO x\r\nAUTH LOGIN\r\nYQ==\r\nYQ==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n.\r\nQUIT\r\n",
            "\u{6}EHLO x\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\nEHLO x\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n.\r\n",
            "\u{7}XCLIENT ADDR=192.0.2.1 NAME=a.example\r\nEHLO x\r\nXCLIENT ADDR=192.0.2.99 LOGIN=a\r\nEHLO x\r\nXFORWARD SOURCE=LOCAL\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n",
            "\u{7}XCLIENT ADDR=192.0.2.66\r\nEHLO x\r\nQUIT\r\n", "\u{8}EHLO x\r\nVRFY a\r\n",
            "\u{18}PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\nEHLO x\r\n", "\u{9}XCLIENT PROTO=SMTP\r\nEHLO x\r\nQUIT\r\n",
            "\u{A}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example> NOTIFY=SUCCESS\r\nDATA\r\nFrom: a@b.example\r\nTo: x, y@z (w)\r\n\r\nhello\r\n.\r\n",
            "\u{B}EHLO x\r\nMAIL FROM:<a> BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nBDAT 12\r\nFrom: a, b\r\nBDAT 3 LAST\r\n\r\nx",
            "\u{C}HELO y\r\nMAIL FROM:<a@b.example>\r\nFOO\r\ndata\r\nx\r\n.\r\nXCLIENT ADDR=192.0.2.1\r\nEHLO x\r\nBDAT 1\r\n",
            "\u{D}EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\na\rb\r\n.\r\nVRFY a\r\n",
            "\u{E}EHLO x\r\nMAIL FROM:<\u{E4}@b.example> SMTPUTF8 RET=HDRS ENVID=x\r\nRCPT TO:<c@d.example> ORCPT=utf-8;\\x{E4}\r\nDATA\r\nx\r\n.\r\nMAIL FROM:<d@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n.\r\n",
            "\u{F}EHLO x\r\nRCPT TO:<a>\r\nAUTH LOGIN\r\nYQ==\r\nYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYQ==\r\n",
        ],
        run: runSession
    )

    @Sendable private static func runSession(_ bytes: [UInt8]) throws {
        guard let choice = bytes.first else { return }
        let configuration = SessionConfiguration.all[Int(choice & 15)]
        let input = bytes.dropFirst()
        let isLockstep = choice & 0x10 == 0
        let harness = try connection(configuration, isLockstep: isLockstep, upgrade: isLockstep || choice & 0x20 == 0 ? .handshake : .none)
        if isLockstep {
            var dialogue = SessionDialogue(harness, configuration)
            try dialogue.run(input)
        } else {
            for piece in Array(input).pieces(maximum: 1 + Int(choice >> 5) * 40) { harness.send(piece) }
        }
        try check(harness, configuration, input)
        guard !isLockstep, configuration.ignoresPackets else { return }
        // The same once more, in one piece.
        let whole = try connection(configuration, isLockstep: false, upgrade: .none)
        whole.send(input)
        try check(whole, configuration, input)
        try require(
            whole.output == harness.output && whole.queue.messages.count == harness.queue.messages.count,
            "in pieces: \(shown(harness.output)), in one: \(shown(whole.output))"
        )
    }

    private static func connection(
        _ configuration: SessionConfiguration,
        isLockstep: Bool,
        upgrade: SessionHarness.Upgrade
    ) throws -> SessionHarness {
        try SessionHarness(
            configuration.values,
            upgrade: upgrade,
            proxyHeader: isLockstep || configuration.isWrapped ? configuration.proxyHeader : "",
            isWrapped: configuration.isWrapped
        )
    }

    /// What must hold of a connection when it is over, which this sees to.
    private static func check(_ harness: SessionHarness, _ configuration: SessionConfiguration, _ input: ArraySlice<UInt8>) throws {
        try harness.hangUp()
        let replies = try Replies.codes(harness.output)
        let lineEnds = input.count { $0 == 0x0A }
        // The greeting, a reply to each line, one to an over-long line, one at the end.
        try require(replies.count <= lineEnds + 3 + input.count / 64, "\(replies.count) replies to \(lineEnds) lines")
        if configuration.isStrict {
            let ends = endsOfData(Array(input))
            try require(harness.queue.messages.count <= ends, "\(harness.queue.messages.count) messages from \(ends) ends of data")
        }
        for message in harness.queue.messages { try check(message.envelope, message.content, configuration, Array(input)) }
        for line in harness.log.lines {
            try require(!line.utf8.contains(0x0A) && !line.utf8.contains(0x0D), "a line end in the log: \(line)")
        }
    }

    /// CRLF "." CRLF, also right behind a DATA that a bare line feed ended, and chunks.
    private static func endsOfData(_ input: [UInt8]) -> Int {
        guard input.count >= 3 else { return 0 }
        let upper = input.map(\.asciiUppercased)
        return upper.indices.dropLast(2).count { index in
            if upper[index...].starts(with: "BDAT".utf8) { return true }
            guard upper[index...].starts(with: ".\r\n".utf8) else { return false }
            var before = upper[..<index]
            guard before.popLast() == 0x0A else { return false }
            if before.last == 0x0D { return true }
            while before.last?.isBlank == true { before.removeLast() }
            return before.suffix(4).elementsEqual("DATA".utf8)
        }
    }

    /// Nothing in a message that another server could take for the end of it, or for more than one word of a command.
    private static func check(_ envelope: Envelope, _ content: [UInt8], _ configuration: SessionConfiguration, _ input: [UInt8]) throws {
        var previous: UInt8 = 0
        for byte in content {
            try require(byte != 0x0A || previous == 0x0D, "a bare line feed in a message")
            if configuration.values["cleanup_replace_stray_cr_lf"] != "no" {
                try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in a message")
            }
            previous = byte
        }
        try require(content.isEmpty || previous == 0x0A, "a message that ends within a line")
        if !envelope.sender.isNull { try checkOnward(envelope.sender, from: input) }
        try checkEnvelopeID(envelope.envelopeID)
        for recipient in envelope.recipients {
            try checkOnward(recipient.address, from: input)
            try require(recipient.notify.isValid, "NOTIFY \(recipient.notify)")
            if !recipient.declaredOriginal.isEmpty { try checkOriginalRecipient(recipient.declaredOriginal) }
        }
    }
}
