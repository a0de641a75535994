import NIOCore
import SMTPCore
import Spool
import Testing

@testable import Relay

/// Delivery to a real socket, with the server doing what it should, and everything it should not.
@Suite struct DeliveryTests {
    @Test func aMessageArrivesAsItWas() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let content = "Subject: x\r\n\r\n.\r\n..two\r\nlast"
        let job = bench.job(to: ["a@[127.0.0.1]:\(server.port)"], TestContent(bytes: ByteBuffer(string: content)))
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.delivered])
        #expect(report.bounce == nil)
        let message = try #require(server.seen.messages.first)
        #expect(message.data == "Subject: x\r\n\r\n..\r\n...two\r\nlast\r\n")
        #expect(message.sender == "MAIL FROM:<s@y.example> SIZE=\(content.utf8.count)")
        // MAIL, RCPT and DATA in one flight.
        #expect(server.seen.reads.contains { $0.hasPrefix("MAIL") && $0.hasSuffix("DATA\r\n") })
        #expect(
            bench.log.line("\(job.id): from=<s@y.example>, size=\(content.utf8.count), nrcpt=1 (queue active)")?.hasPrefix("postfix/qmgr: ")
                == true
        )
        let line = try #require(bench.log.line("status=sent"))
        #expect(
            line.hasPrefix("postfix/smtp: \(job.id): to=<a@[127.0.0.1]:\(server.port)>, relay=127.0.0.1[127.0.0.1]:\(server.port), delay=")
        )
        #expect(line.hasSuffix(", dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as ABC)"))
        try await server.stop()
        try await bench.end()
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var stage: String
        var action: FaultyServer.Action
        var outcome: String
        var dsn: String
        /// HOST stands for `127.0.0.1[127.0.0.1]`.
        var text: String
        var testDescription: String { "\(stage) \(text)" }

        init(_ stage: String, _ action: FaultyServer.Action, _ outcome: String, _ dsn: String, _ text: String) {
            self.stage = stage
            self.action = action
            self.outcome = outcome
            self.dsn = dsn
            self.text = text
        }
    }

    /// The reasons are those that Postfix 3.7 logs for the same server behaviour.
    static let refusals: [Refusal] = [
        Refusal("greeting", .say("421 4.3.2 busy"), "deferred", "4.3.2", "host HOST refused to talk to me: 421 4.3.2 busy"),
        Refusal("greeting", .say("554 5.7.1 go away"), "deferred", "4.7.1", "host HOST refused to talk to me: 554 5.7.1 go away"),
        Refusal("greeting", .close, "deferred", "4.4.2", "lost connection with HOST while receiving the initial server greeting"),
        Refusal("greeting", .silence, "deferred", "4.4.2", "conversation with HOST timed out while receiving the initial server greeting"),
        Refusal("EHLO", .close, "deferred", "4.4.2", "lost connection with HOST while performing the EHLO handshake"),
        Refusal(
            "MAIL",
            .say("451 4.3.0 try later"),
            "deferred",
            "4.3.0",
            "host HOST said: 451 4.3.0 try later (in reply to MAIL FROM command)"
        ),
        Refusal("MAIL", .say("553 sender no"), "bounced", "5.0.0", "host HOST said: 553 sender no (in reply to MAIL FROM command)"),
        Refusal("MAIL", .close, "deferred", "4.4.2", "lost connection with HOST while sending MAIL FROM"),
        Refusal("MAIL", .silence, "deferred", "4.4.2", "conversation with HOST timed out while sending MAIL FROM"),
        Refusal(
            "RCPT",
            .say("450 4.2.0 greylisted"),
            "deferred",
            "4.2.0",
            "host HOST said: 450 4.2.0 greylisted (in reply to RCPT TO command)"
        ),
        Refusal(
            "RCPT",
            .reply(["550 5.1.1 No such user", "550 5.1.1 really not"]),
            "bounced",
            "5.1.1",
            "host HOST said: 550-5.1.1 No such user 550 5.1.1 really not (in reply to RCPT TO command)"
        ),
        Refusal("RCPT", .close, "deferred", "4.4.2", "lost connection with HOST while sending RCPT TO"),
        Refusal("RCPT", .silence, "deferred", "4.4.2", "conversation with HOST timed out while sending RCPT TO"),
        Refusal(
            "DATA",
            .say("451 4.3.0 no data now"),
            "deferred",
            "4.3.0",
            "host HOST said: 451 4.3.0 no data now (in reply to DATA command)"
        ),
        Refusal(
            "DATA",
            .say("554 5.6.0 no data ever"),
            "bounced",
            "5.6.0",
            "host HOST said: 554 5.6.0 no data ever (in reply to DATA command)"
        ),
        Refusal("DATA", .close, "deferred", "4.4.2", "lost connection with HOST while sending DATA command"),
        Refusal("DATA", .silence, "deferred", "4.4.2", "conversation with HOST timed out while sending DATA command"),
        Refusal(".", .say("452 4.3.1 full"), "deferred", "4.3.1", "host HOST said: 452 4.3.1 full (in reply to end of DATA command)"),
        Refusal(".", .say("554 5.6.0 virus"), "bounced", "5.6.0", "host HOST said: 554 5.6.0 virus (in reply to end of DATA command)"),
        Refusal(
            ".",
            .close,
            "deferred",
            "4.4.2",
            "lost connection with HOST while sending end of data -- message may be sent more than once"
        ),
        Refusal(
            ".",
            .silence,
            "deferred",
            "4.4.2",
            "conversation with HOST timed out while sending end of data -- message may be sent more than once"
        ),
        Refusal(
            "MAIL",
            .say("what?"),
            "deferred",
            "4.5.0",
            "protocol error: host HOST sent a line that is no reply: what? while sending MAIL FROM"
        ),
        Refusal("RCPT", .say("354 go"), "deferred", "4.5.0", "protocol error: host HOST said: 354 go (in reply to RCPT TO command)"),
    ]

    static let timeouts = [
        "smtp_helo_timeout": "1s", "smtp_mail_timeout": "1s", "smtp_rcpt_timeout": "1s", "smtp_data_init_timeout": "1s",
        "smtp_data_done_timeout": "1s",
    ]

    @Test(arguments: refusals, [true, false]) func refusal(_ refusal: Refusal, pipelining: Bool) async throws {
        let waits: Bool = if case .silence = refusal.action { true } else { false }
        let bench = try RelayBench(waits ? Self.timeouts : [:])
        var script = FaultyServer.Script(actions: [refusal.stage: refusal.action])
        if !pipelining { script.capabilities = ["SIZE"] }
        let server = try await FaultyServer.started(script, on: bench.group)
        let job = bench.job(to: ["a@[127.0.0.1]:\(server.port)"])
        let report = try await bench.deliver(job)
        let text = refusal.text.replacing("HOST", with: "127.0.0.1[127.0.0.1]")
        #expect(report.outcomes == [refusal.outcome == "bounced" ? .bounced(text) : .deferred(text)])
        let line = try #require(bench.log.line("status=\(refusal.outcome)"))
        #expect(line.hasSuffix("dsn=\(refusal.dsn), status=\(refusal.outcome) (\(text))"))
        #expect(server.seen.messages.isEmpty)
        #expect((report.bounce != nil) == (refusal.outcome == "bounced"))
        try await server.stop()
        try await bench.end()
    }

    @Test func refusedConnection() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let port = server.port
        try await server.stop()
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(port)"]))
        #expect(report.outcomes == [.deferred("connect to 127.0.0.1[127.0.0.1]:\(port): Connection refused")])
        #expect(bench.log.lines.contains("postfix/smtp: connect to 127.0.0.1[127.0.0.1]:\(port): Connection refused"))
        #expect(bench.log.line("relay=none, delay=")?.contains("dsn=4.4.1, status=deferred") == true)
        try await bench.end()
    }

    @Test(arguments: [true, false]) func partialSuccess(pipelining: Bool) async throws {
        let bench = try RelayBench(routes: ["x": ""])
        var script = FaultyServer.Script(actions: [
            "RCPT TO:<r5@x.example>": .say("550 5.1.1 no"), "RCPT TO:<r4@x.example>": .say("450 4.2.0 later"),
        ])
        if !pipelining { script.capabilities = [] }
        let server = try await FaultyServer.started(script, on: bench.group)
        let routed = try RelayBench(routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"])
        let report = try await routed.deliver(routed.job(to: ["r5@x.example", "ok@x.example", "r4@x.example", "fine@x.example"]))
        let host = "host 127.0.0.1[127.0.0.1] said: "
        #expect(
            report.outcomes == [
                .bounced("\(host)550 5.1.1 no (in reply to RCPT TO command)"), .delivered,
                .deferred("\(host)450 4.2.0 later (in reply to RCPT TO command)"), .delivered,
            ]
        )
        #expect(server.seen.messages.map(\.recipients) == [["<ok@x.example>", "<fine@x.example>"]])
        let bounce = String(buffer: try #require(report.bounce).content)
        #expect(bounce.contains("<r5@x.example>") && !bounce.contains("r4@x.example"))
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    @Test func allRecipientsRefusedButDataAccepted() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(
            FaultyServer.Script(actions: ["RCPT": .say("550 5.1.1 no"), "DATA": .say("354 go on then"), ".": .say("554 5.5.1 nobody")]),
            on: bench.group
        )
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"]))
        #expect(report.outcomes == [.bounced("host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no (in reply to RCPT TO command)")])
        #expect(server.seen.messages.isEmpty)
        try await server.stop()
        try await bench.end()
    }

    @Test func messageTooLargeForServer() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["SIZE 10"]), on: bench.group)
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"]))
        #expect(report.outcomes == [.bounced("message size 21 exceeds size limit 10 of server 127.0.0.1[127.0.0.1]")])
        #expect(bench.log.line("dsn=5.3.4, status=bounced") != nil)
        try await server.stop()
        try await bench.end()
    }

    @Test func largeContentFromDisk() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let text = String(repeating: "0123456789.\r\n.dot\r\n", count: 20_000)
        let report = try await bench.deliver(
            bench.job(to: ["a@[127.0.0.1]:\(server.port)"], TestContent(bytes: ByteBuffer(string: text), isOnDisk: true))
        )
        #expect(report.outcomes == [.delivered])
        let received = try #require(server.seen.messages.first).data
        #expect(received == text.replacing("\r\n.dot", with: "\r\n..dot"))
        try await server.stop()
        try await bench.end()
    }

    /// Never a final dot after half a message.
    @Test func contentThatCannotBeRead() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let content = TestContent(bytes: ByteBuffer(repeating: UInt8(ascii: "x"), count: 200_000), isOnDisk: true, failsAt: 65536)
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"], content))
        guard case .deferred(let text) = report.outcomes[0] else { return #expect(Bool(false), "\(report.outcomes)") }
        #expect(text.hasPrefix("queue file read error"))
        #expect(server.seen.messages.isEmpty)
        try await server.stop()
        try await bench.end()
    }

    @Test func heloWhereEHLOIsUnknown() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(actions: ["EHLO": .say("502 5.5.1 no")]), on: bench.group)
        #expect(try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"])).outcomes == [.delivered])
        #expect(server.seen.commands.prefix(3) == ["EHLO mail.example.com", "HELO mail.example.com", "MAIL FROM:<s@y.example>"])
        try await server.stop()
        try await bench.end()
    }

    /// Content that is not declared as MIME of eight bits has no seven-bit form (compared with Postfix).
    @Test(arguments: [(["8BITMIME"], " BODY=8BITMIME"), ([], "")]) func undeclaredEightBit(
        _ example: (capabilities: [String], parameter: String)
    ) async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: example.capabilities), on: bench.group)
        let content = TestContent(bytes: ByteBuffer(string: "Subject: x\r\n\r\nbjörk\r\n"))
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"], content, body: .eightBitMIME))
        #expect(report.outcomes == [.delivered])
        #expect(server.seen.messages.first?.sender == "MAIL FROM:<s@y.example>\(example.parameter)")
        #expect(server.seen.messages.first?.data == "Subject: x\r\n\r\nbjörk\r\n")
        try await server.stop()
        try await bench.end()
    }
}
