import NIOCore
import SMTPCore
import Settings
import Testing

@testable import Notices

/// `notify_classes` and what becomes of it.
@Suite struct NoticeSettingsTests {
    @Test(
        arguments: [
            (["resource", "software"], [NoticeClasses.resource, .software], false),
            (["bounce"], [.bounce, .doubleBounce], true),
            (["2bounce"], [.doubleBounce], false),
            (["policy", "protocol"], [.policy, .protocol], true),
            (["data", "delay"], [.data, .delay], true),
            ([], [], false),
        ] as [(Set<String>, [NoticeClasses], Bool)]
    )
    func classes(_ example: (words: Set<String>, classes: [NoticeClasses], records: Bool)) {
        #expect(NoticeClasses(example.words) == NoticeClasses(example.classes))
        var settings = NoticeSettings(.testing())
        #expect(settings.classes == [.resource, .software])
        settings.classes = NoticeClasses(example.words)
        #expect(settings.recordsFromStart == example.records)
    }

    /// Compared with Postfix: a session in which mail for nobody was refused goes where bounces go, whatever else there was.
    @Test(
        arguments: [
            (["policy"], [NoticeClasses.policy], "err@x.example"),
            (["policy"], [.protocol], nil),
            (["bounce"], [.bounce], "bounces@y.example"),
            (["policy"], [.policy, .bounce], "bounces@y.example"),
            (["2bounce", "delay"], [.bounce, .policy], nil),
            (["resource", "software"], [.software, .policy], "err@x.example"),
        ] as [(Set<String>, [NoticeClasses], String?)]
    )
    func recipients(_ example: (words: Set<String>, events: [NoticeClasses], recipient: String?)) {
        var settings = NoticeSettings(
            .testing([
                "error_notice_recipient": "err", "bounce_notice_recipient": "bounces@y.example",
                "myorigin": "x.example",
            ])
        )
        settings.classes = NoticeClasses(example.words)
        #expect(settings.recipient(of: NoticeClasses(example.events))?.description == example.recipient)
    }
}

@Suite struct SessionTranscriptTests {
    static let password = "AGFsaWNlAHdvbmRlcmxhbmQ="

    @Test func commandsAndReplies() {
        let transcript = SessionTranscript()
        transcript.reply(Reply(220, nil, "mx.test.example ESMTP Postfix"))
        transcript.command(Array("EHLO c.example".utf8))
        transcript.reply(Reply(250, nil, lines: ["mx.test.example", "PIPELINING"]))
        transcript.command(Array("FOO \u{1}\u{E9}".utf8))
        transcript.reply(Reply(500, .init(5, 5, 2), "Error: command not recognized"))
        #expect(
            transcript.text == """
                 Out: 220 mx.test.example ESMTP Postfix
                 In:  EHLO c.example
                 Out: 250-mx.test.example
                 Out: 250 PIPELINING
                 In:  FOO ???
                 Out: 500 5.5.2 Error: command not recognized

                """
        )
    }

    @Test func longLinesAreFoldedAtBlanksAndCut() {
        let transcript = SessionTranscript()
        let words = Array(repeating: "word", count: 60).joined(separator: " ")
        transcript.reply(Reply(550, .init(5, 1, 1), "<a@dest.example>: Recipient address rejected: \(words)"))
        transcript.command(Array(repeating: UInt8(ascii: "x"), count: 100_000))
        let lines = transcript.text.split(separator: "\n")
        #expect(lines.dropLast().allSatisfy { $0.utf8.count <= 79 })
        #expect(lines[1].hasPrefix("     word word"))
        #expect(lines.last?.utf8.count == 6 + SessionTranscript.lineLimit)
    }

    @Test(arguments: [
        ["AUTH PLAIN \(password)"], ["auth plain \(password)"], ["  AUTH\tPLAIN  \(password)"], ["AUTH \(password)"],
        ["AUTH=PLAIN \(password)"],
        ["\0AUTH PLAIN \(password)"], ["XAUTH \(password)"], ["EHLO x\rAUTH PLAIN \(password)"],
        // Refused, and the client goes on.
        ["AUTH PLAIN", password], ["AUTH LOGIN", "YWxpY2U=", password], ["AUTH LOGIN", "QUIT", password], ["AUTH BOGUS", "\(password) x"],
    ])
    func noSecrets(_ lines: [String]) {
        let transcript = SessionTranscript()
        for line in lines { transcript.command(Array(line.utf8)) }
        for part in [Self.password, "AGFsaWNl", "d29uZGVybGFuZA"] { #expect(!transcript.text.contains(part), "\(transcript.text)") }
        #expect(transcript.text.split(separator: "\n").count == lines.count)
    }

    @Test func afterALoginUnknownCommandsAreShownAgain() {
        let transcript = SessionTranscript()
        for line in ["AUTH PLAIN \(Self.password)", "FOO one"] { transcript.command(Array(line.utf8)) }
        transcript.reply(Reply(235, .init(2, 7, 0), "Authentication successful"))
        transcript.command(Array("FOO two".utf8))
        #expect(!transcript.text.contains("FOO one"))
        #expect(transcript.text.contains("FOO two"))
    }

    @Test func challengesAndResponsesAreNotShown() throws {
        let transcript = SessionTranscript()
        transcript.command(Array("AUTH CRAM-MD5".utf8), .outgoing)
        transcript.reply(ServerReply(code: 334, text: "334 PDEyMzQ+"))
        transcript.secret(.outgoing)
        transcript.reply(ServerReply(code: 235, text: "235-a\n235 b"))
        #expect(transcript.text == " Out: AUTH CRAM-MD5\n In:  334 ...\n Out: (not shown)\n In:  235-a\n In:  235 b\n")
    }

    @Test func whatIsKnownBeforeTheRecording() {
        let transcript = SessionTranscript(beginningWith: " (from here on)")
        transcript.reply(Reply(452, .init(4, 3, 1), "Insufficient system storage"))
        #expect(transcript.text == " (from here on)\n Out: 452 4.3.1 Insufficient system storage\n")
    }

    /// However long a client goes on, beginning and end are there, and no more than the limit.
    @Test(arguments: [1, 10, 700]) func isBounded(length: Int) {
        let transcript = SessionTranscript()
        transcript.command(Array("EHLO first".utf8))
        for number in 0..<20_000 { transcript.command(Array("MAIL \(number)\(String(repeating: "x", count: length))".utf8)) }
        transcript.command(Array("QUIT last".utf8))
        let text = transcript.text
        #expect(text.utf8.count <= SessionTranscript.headLimit + SessionTranscript.tailLimit + 100)
        #expect(text.hasPrefix(" In:  EHLO first\n In:  MAIL"))
        #expect(text.hasSuffix("\n In:  QUIT last\n"))
        #expect(text.contains(" lines are left out here)\n"))
    }
}

@Suite struct SessionNoticeTests {
    @Test func layout() {
        let settings = NoticeSettings(.testing(["notify_classes": "protocol", "myhostname": "mx.test.example"]))
        let transcript = SessionTranscript()
        transcript.command(Array("FOO".utf8))
        transcript.abortReason = "lost connection"
        let address = Address(localPart: "postmaster", domain: "x.example")
        let id = QueueID(rawValue: 0xAB)
        let notice = SessionNotice(role: "SMTP server", peer: "unknown[192.0.2.1]", recipient: address, transcript: transcript, heldBack: 3)
        let text = notice.write(id: id, date: "DATE", messageID: "<1.AB@mx>", settings: settings)
        #expect(
            text == """
                Received: by mx.test.example (Postfix)\r
                \tid \(id); DATE\r
                Date: DATE\r
                From: Mail Delivery System <MAILER-DAEMON@mx.test.example>\r
                To: Postmaster <postmaster@x.example>\r
                Subject: Postfix SMTP server: errors from unknown[192.0.2.1]\r
                Message-Id: <1.AB@mx>\r
                Auto-Submitted: auto-generated\r
                \r
                Transcript of session follows.\r
                \r
                 In:  FOO\r
                \r
                Session aborted, reason: lost connection\r
                \r
                3 notices about other sessions were held back before this one.\r
                \r
                The mail log has more about this session.\r

                """
        )
    }
}

@Suite struct NoticeBudgetTests {
    @Test func aPeerHasItsShare() {
        let budget = NoticeBudget()
        let start = NIODeadline.uptimeNanoseconds(1)
        for _ in 0..<NoticeBudget.peerLimit { #expect(budget.ask("a", now: start) == .granted(heldBack: 0)) }
        #expect(budget.ask("a", now: start) == .heldBack(isFirst: true))
        #expect(budget.ask("a", now: start) == .heldBack(isFirst: false))
        #expect(budget.ask("b", now: start) == .granted(heldBack: 2))
        #expect(budget.ask("a", now: start) == .heldBack(isFirst: true))
        #expect(budget.ask("a", now: start + NoticeBudget.period) == .granted(heldBack: 1))
    }

    @Test func thereIsAnEndForAllTogether() {
        let budget = NoticeBudget()
        let start = NIODeadline.uptimeNanoseconds(1)
        let granted = (0..<10_000).filter { if case .granted = budget.ask("\($0)", now: start) { true } else { false } }
        #expect(granted.count == NoticeBudget.limit)
        #expect(budget.ask("x", now: start + NoticeBudget.period) == .granted(heldBack: 10_000 - NoticeBudget.limit))
    }
}
