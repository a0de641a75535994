import NIOCore
import SMTPCore
import Spool
import Testing

@testable import Relay

/// Notices to the postmaster about sessions with next hops: which sessions, what they say. The cases are those of Postfix 3.7, found by playing
/// the same server behaviour at it.
@Suite struct NextHopNoticeTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var stage: String
        var action: FaultyServer.Action
        var isTold: Bool
        var testDescription: String { "\(stage) \(action)" }

        init(_ stage: String, _ action: FaultyServer.Action, _ isTold: Bool) {
            self.stage = stage
            self.action = action
            self.isTold = isTold
        }
    }

    @Test(arguments: [
        Case("MAIL", .say("500 5.5.2 what"), true), Case("MAIL", .say("501 5.5.4 what"), true), Case("MAIL", .say("354 what"), true),
        Case("RCPT", .say("502 5.5.1 what"), true), Case("RCPT", .say("503 5.5.1 what"), true), Case("RCPT", .say("555 5.5.4 what"), true),
        Case("DATA", .say("500 5.5.2 what"), true), Case("DATA", .say("250 what"), true), Case("RCPT", .say("354 what"), true),
        Case("greeting", .say("554 no"), false), Case("greeting", .close, false), Case("EHLO", .close, false),
        Case("MAIL", .say("550 5.7.1 no"), false), Case("MAIL", .say("452 4.3.1 full"), false), Case("RCPT", .say("550 5.1.1 no"), false),
        Case("RCPT", .say("450 4.1.1 later"), false), Case("RCPT", .close, false), Case("DATA", .say("554 5.5.1 no"), false),
    ])
    func sessions(_ example: Case) async throws {
        let bench = try RelayBench(["notify_classes": "protocol", "error_notice_recipient": "boss@y.example"])
        let server = try await FaultyServer.started(FaultyServer.Script(actions: [example.stage: example.action]), on: bench.group)
        let port = server.port
        _ = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(port)"]))
        // A connection that can be used again is kept for a while.
        if example.isTold { try await Self.wait(for: bench.ledger) }
        try await server.stop()
        try await bench.end()
        let notices = bench.ledger.submitted
        try #require(notices.count == (example.isTold ? 1 : 0))
        guard let notice = notices.first else { return }
        #expect(notice.envelope.sender.description == "double-bounce@mail.example.com")
        #expect(notice.envelope.recipients.map(\.address.description) == ["boss@y.example"])
        let text = String(buffer: notice.content)
        for part in [
            "From: Mail Delivery System <MAILER-DAEMON@mail.example.com>\r\nTo: Postmaster <boss@y.example>\r\n"
                + "Subject: Postfix SMTP client: errors from 127.0.0.1[127.0.0.1]:\(port)\r\n",
            "Transcript of session follows.\r\n\r\n In:  220", "\r\n Out: EHLO mail.example.com\r\n", "\r\n Out: MAIL FROM:<s@y.example>",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        #expect(!text.contains("hello"))
        #expect(bench.log.line("postfix/cleanup: \(notice.id): message-id=<") != nil)
    }

    private static func wait(for ledger: TestLedger) async throws {
        for _ in 0..<1_000 where ledger.submitted.isEmpty { try await Task.sleep(for: .milliseconds(20)) }
    }

    @Test func notWithTheDefaultClasses() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(actions: ["MAIL": .say("500 5.5.2 what")]), on: bench.group)
        _ = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"]))
        try await server.stop()
        try await bench.end()
        #expect(bench.ledger.submitted.isEmpty)
    }

    /// Our own disk: one of the default classes. Nothing had been written down until then.
    @Test func aMessageThatCannotBeRead() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let content = TestContent(bytes: ByteBuffer(string: "Subject: x\r\n\r\nhello\r\n"), isOnDisk: true, failsAt: 0)
        _ = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"], content))
        try await Self.wait(for: bench.ledger)
        try await server.stop()
        try await bench.end()
        let notice = try #require(bench.ledger.submitted.first)
        #expect(notice.envelope.recipients.map(\.address.description) == ["postmaster@mail.example.com"])
        #expect(String(buffer: notice.content).contains("Transcript of session follows.\r\n\r\n (recorded from here on)\r\n"))
    }
}
