import NIOCore
import SMTPCore
import Spool
import Testing

@testable import Relay

/// RFC 3461 in the relay: what is passed on, what is reported, and to whom nothing is said; SMTPUTF8 and what needs it.
@Suite struct NotificationTests {
    static let content = TestContent(bytes: ByteBuffer(string: "Subject: lost\r\n\r\nbody\r\n"))

    @Test func isPassedOnToAServerThatOffersDSN() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["DSN", "SMTPUTF8", "8BITMIME"]), on: bench.group)
        var job = bench.job(to: ["a@[127.0.0.1]:\(server.port)", "b@[127.0.0.1]:\(server.port)"], Self.content, body: .eightBitMIME)
        job.envelope.envelopeID = "QQ 314"
        job.envelope.returns = .headers
        job.envelope.needsUTF8 = true
        job.envelope.recipients[0].notify = [.success, .delay]
        job.envelope.recipients[0].declaredOriginal = "utf-8;b\u{FC}@x"
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.delivered, .delivered])
        #expect(report.bounce == nil)
        #expect(
            server.seen.commands.filter { $0.hasPrefix("MAIL") || $0.hasPrefix("RCPT") } == [
                "MAIL FROM:<s@y.example> BODY=8BITMIME SMTPUTF8 ENVID=QQ+20314 RET=HDRS",
                "RCPT TO:<a@[127.0.0.1]:\(server.port)> ORCPT=utf-8;b\\x{FC}@x NOTIFY=SUCCESS,DELAY",
                "RCPT TO:<b@[127.0.0.1]:\(server.port)> ORCPT=rfc822;b@[127.0.0.1]:\(server.port)",
            ]
        )
        try await server.stop()
        try await bench.end()
    }

    /// XVERP: a transaction and a sender for each recipient; the name is that which the client gave.
    @Test func eachRecipientHasASenderOfItsOwn() async throws {
        let bench = try RelayBench(["smtp_destination_recipient_limit": "50"])
        let server = try await FaultyServer.started(FaultyServer.Script(), on: bench.group)
        let host = "[127.0.0.1]:\(server.port)"
        var job = bench.job(from: "a@b.example", to: ["c@\(host)", "c+e@\(host)", "x@\(host)"], Self.content)
        job.envelope.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "-"), inner: UInt8(ascii: "="))
        job.envelope.recipients[2].original = Address(localPart: "alias", domain: "d.example")
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.delivered, .delivered, .delivered])
        let senders = server.seen.commands.filter { $0.hasPrefix("MAIL") }.map { $0.prefix { $0 != ">" } }
        #expect(
            Set(senders) == [
                "MAIL FROM:<a-c=\(host)@b.example", "MAIL FROM:<a-c+e=\(host)@b.example", "MAIL FROM:<a-alias=d.example@b.example",
            ] || senders.count == 3 && senders.contains { $0.hasPrefix("MAIL FROM:<a-alias=d.example@b.example") }
        )
        try await server.stop()
        try await bench.end()
    }

    @Test(arguments: [(false, 1, "a+u=x.example@b.example"), (true, 1, "a@b.example"), (false, 2, "a@b.example")])
    func whereAReportGoesWithXVERP(_ disabled: Bool, _ failures: Int, _ recipient: String) async throws {
        let bench = try RelayBench(["disable_verp_bounces": disabled ? "yes" : "no"], routes: ["x.example": "error:5.1.1 no such thing"])
        var job = bench.job(from: "a@b.example", to: Array(["u@x.example", "v@x.example"].prefix(failures)), Self.content)
        job.envelope.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))
        let bounce = try #require(try await bench.deliver(job).bounce)
        #expect(bounce.envelope.recipients.map(\.address.description) == [recipient])
        #expect(String(buffer: bounce.content).contains("To: \(recipient)\r\n"))
        try await bench.end()
    }

    @Test func successIsReportedForAServerWithoutDSN() async throws {
        let bench = try RelayBench(routes: ["d.example": "discard:", "x.example": "error:5.1.1 no such thing"])
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["PIPELINING"]), on: bench.group)
        var job = bench.job(to: ["a@[127.0.0.1]:\(server.port)", "c@d.example", "u@d.example"], Self.content)
        job.envelope.envelopeID = "QQ 314"
        job.envelope.recipients[0].notify = .success
        job.envelope.recipients[0].declaredOriginal = "rfc822;o+x@y"
        job.envelope.recipients[1].notify = [.success, .failure]
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.delivered, .delivered, .delivered])
        #expect(server.seen.commands.contains("MAIL FROM:<s@y.example>"))
        let bounce = try #require(report.bounce)
        let text = String(buffer: bounce.content)
        for part in [
            "Subject: Successful Mail Delivery Report\r\n", "Original-Envelope-Id: QQ 314\r\n",
            "Original-Recipient: rfc822;o+x@y\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; ",
            "Final-Recipient: rfc822; c@d.example\r\nOriginal-Recipient: rfc822;c@d.example\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
            "Content-Description: Message Headers\r\nContent-Type: text/rfc822-headers\r\n",
            "Return-Path: <s@y.example>\r\nSubject: lost\r\n\r\n--",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        #expect(!text.contains("u@d.example"))
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): sender delivery status notification: \(bounce.id)"))
        #expect(bench.log.line("non-delivery") == nil)
        try await server.stop()
        try await bench.end()
    }

    /// Success and failure in one attempt: one report, which becomes durable with the outcomes.
    @Test func bothInOneReport() async throws {
        let bench = try RelayBench(routes: ["d.example": "discard:", "x.example": "error:5.1.1 no such thing"])
        var job = bench.job(to: ["c@d.example", "u@x.example"], Self.content)
        job.envelope.recipients[0].notify = .success
        let text = String(buffer: try #require(try await bench.deliver(job).bounce).content)
        #expect(text.contains("Subject: Undelivered Mail Returned to Sender\r\n"))
        #expect(text.contains("u@x.example\r\nOriginal-Recipient: rfc822;u@x.example\r\nAction: failed\r\n"))
        #expect(text.contains("c@d.example\r\nOriginal-Recipient: rfc822;c@d.example\r\nAction: delivered\r\n"))
        try await bench.end()
    }

    @Test(arguments: [NotifyConditions.never, .success, [.success, .delay], .delay]) func noFailureNoticeForWhoWantsNone(
        _ notify: NotifyConditions
    ) async throws {
        let bench = try RelayBench(routes: ["x.example": "error:5.1.1 no such thing"])
        var job = bench.job(to: ["u@x.example"], Self.content)
        job.envelope.recipients[0].notify = notify
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.bounced("no such thing")])
        #expect(report.bounce == nil)
        try await bench.end()
    }

    @Test func nobodyHearsOfSuccessForTheNullSender() async throws {
        let bench = try RelayBench(routes: ["d.example": "discard:"])
        var job = bench.job(from: "", to: ["c@d.example"], Self.content)
        job.envelope.recipients[0].notify = .success
        #expect(try await bench.deliver(job).bounce == nil)
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): not sending trace/success notification for single-bounce message"))
        try await bench.end()
    }

    @Test(arguments: [ReturnedContent.headers, .full, .unspecified]) func returnsWhatWasAskedFor(_ returns: ReturnedContent) async throws {
        let bench = try RelayBench(routes: ["x.example": "error:5.1.1 no such thing"])
        var job = bench.job(to: ["u@x.example"], Self.content)
        job.envelope.returns = returns
        let text = String(buffer: try #require(try await bench.deliver(job).bounce).content)
        #expect(text.contains("\r\nbody\r\n") == (returns != .headers))
        #expect(text.contains("Content-Type: text/rfc822-headers") == (returns == .headers))
        try await bench.end()
    }

    /// Sender, recipients and header, as far as they are beyond ASCII, need a server with SMTPUTF8.
    @Test(arguments: [
        ("s@y.example", "lost", [0], false), ("s\u{FC}@y.example", "lost", [], false), ("s@y.example", "l\u{F6}st", [], true),
        ("s@y.example", "l\u{F6}st", [], false), ("s@y.example", "lost", [0], true),
    ]) func withoutSMTPUTF8(_ example: (sender: String, subject: String, delivered: [Int], onDisk: Bool)) async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["8BITMIME"]), on: bench.group)
        let host = "[127.0.0.1]:\(server.port)"
        let bytes = ByteBuffer(string: "Subject: \(example.subject)\r\n\r\nb\u{F6}dy\r\n")
        var job = bench.job(from: example.sender, to: ["a@\(host)", "\u{FC}@\(host)"], TestContent(bytes: bytes, isOnDisk: example.onDisk))
        job.envelope.needsUTF8 = true
        let report = try await bench.deliver(job)
        for (index, outcome) in report.outcomes.enumerated() {
            let refused = RecipientOutcome.bounced("SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]")
            #expect(outcome == (example.delivered.contains(index) ? .delivered : refused))
        }
        #expect(bench.log.line("dsn=5.6.7, status=bounced (SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1])") != nil)
        #expect(server.seen.messages.map(\.recipients.count) == (example.delivered.isEmpty ? [] : [1]))
        let bounce = try #require(report.bounce)
        #expect(bounce.envelope.needsUTF8)
        let text = String(buffer: bounce.content)
        #expect(text.contains("Content-Type: message/global-delivery-status\r\n"))
        #expect(text.contains("Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n"))
        #expect(text.contains("Final-Recipient: utf-8; \u{FC}@\(host)\r\n"))
        try await server.stop()
        try await bench.end()
    }
}
