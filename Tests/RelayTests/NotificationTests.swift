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
                "MAIL FROM:<s@y.example> BODY=8BITMIME ENVID=QQ+20314 RET=HDRS SMTPUTF8",
                "RCPT TO:<a@[127.0.0.1]:\(server.port)> ORCPT=utf-8;b\\x{FC}@x NOTIFY=SUCCESS,DELAY",
                "RCPT TO:<b@[127.0.0.1]:\(server.port)> ORCPT=rfc822;b@[127.0.0.1]:\(server.port)",
            ]
        )
        try await server.stop()
        try await bench.end()
    }

    /// XVERP: a transaction and a sender for each recipient, whatever the transport would take at once.
    @Test func eachRecipientHasASenderOfItsOwn() async throws {
        let bench = try RelayBench(["smtp_destination_recipient_limit": "50"])
        let server = try await FaultyServer.started(FaultyServer.Script(), on: bench.group)
        let host = "[127.0.0.1]:\(server.port)"
        var job = bench.job(from: "a@b.example", to: ["c@\(host)", "c+e@\(host)", "x@\(host)"], Self.content)
        job.envelope.verpDelimiters = Self.delimiters
        for (place, name) in ["list", "old", "alias"].enumerated() {
            job.envelope.recipients[place].original = Address(localPart: name, domain: "d.example")
        }
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.delivered, .delivered, .delivered])
        let said = server.seen.commands.filter { $0.hasPrefix("MAIL") || $0.hasPrefix("RCPT") }.map { String($0.prefix { $0 != ">" }) }
        let transactions = Set(stride(from: 0, to: said.count, by: 2).map { said[$0] + " " + said[$0 + 1] })
        #expect(said.count == 6)
        #expect(
            transactions == [
                "MAIL FROM:<a+list=d.example@b.example RCPT TO:<c@\(host)", "MAIL FROM:<a+old=d.example@b.example RCPT TO:<c+e@\(host)",
                "MAIL FROM:<a+alias=d.example@b.example RCPT TO:<x@\(host)",
            ]
        )
        try await server.stop()
        try await bench.end()
    }

    static let delimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))

    @Test(
        arguments: [
            ("a@b.example", "u@x.example", nil, "a+u=x.example@b.example"),
            ("a@b.example", "m@x.example", "list@y.example", "a+list=y.example@b.example"),
            ("a@b.example", "u+v@x.example", nil, "a+u+v=x.example@b.example"),
            ("a@b.example", "u@x.example", "u", "a+u@b.example"),
            ("a b@b.example", "u@x.example", nil, "\"a b+u=x.example\"@b.example"),
            ("a@b.example", "p q@x.example", nil, "\"a+p q=x.example\"@b.example"),
            ("", "u@x.example", nil, ""),
        ] as [(String, String, String?, String)]
    )
    func theSenderNamesTheRecipientAsTheClientGaveIt(_ sender: String, _ address: String, _ original: String?, _ expected: String) {
        func parsed(_ text: String) -> Address {
            let parts = text.split(separator: "@").map(String.init)
            return text.isEmpty ? .null : Address(localPart: parts[0], domain: parts.count > 1 ? parts[1] : nil)
        }
        var envelope = Envelope(sender: parsed(sender), recipients: [Recipient(address: parsed(address), original: original.map(parsed))])
        #expect(envelope.sender(for: envelope.recipients[0]) == envelope.sender)
        envelope.verpDelimiters = Self.delimiters
        #expect(envelope.sender(for: envelope.recipients[0]).description == expected)
    }

    /// A notice for each failed recipient, to the sender made for it; one about all of them to the plain sender with `disable_verp_bounces`.
    @Test(arguments: [false, true]) func whereNoticesGoWithXVERP(_ disabled: Bool) async throws {
        let bench = try RelayBench(
            ["disable_verp_bounces": disabled ? "yes" : "no"],
            routes: ["x.example": "error:5.1.1 no such thing", "d.example": "discard:"]
        )
        var job = bench.job(from: "a@b.example", to: ["u@x.example", "ok@d.example", "v@x.example", "m@x.example"], Self.content)
        job.envelope.recipients[1].notify = .success
        job.envelope.recipients[3].original = Address(localPart: "list", domain: "y.example")
        job.envelope.verpDelimiters = Self.delimiters
        let bounces = try await bench.deliver(job).bounces
        let readers = bounces.map { $0.envelope.recipients.map(\.address.description) }
        let failed = ["u@x.example", "v@x.example", "m@x.example"]
        let own = ["a+u=x.example@b.example", "a+v=x.example@b.example", "a+list=y.example@b.example"]
        #expect(readers == (disabled ? [["a@b.example"], ["a@b.example"]] : own.map { [$0] } + [["a@b.example"]]))
        #expect(Set(bounces.map(\.id)).count == bounces.count)
        for (place, bounce) in bounces.dropLast().enumerated() {
            let text = String(buffer: bounce.content)
            #expect(text.contains("To: \(readers[place][0])\r\n") && text.contains("X-Postfix-Sender: rfc822; a@b.example\r\n"))
            #expect(text.contains("Return-Path: <a@b.example>\r\nSubject: lost\r\n\r\nbody\r\n"))
            for (other, address) in failed.enumerated() {
                #expect(text.contains("Final-Recipient: rfc822; \(address)\r\n") == (disabled || place == other))
            }
            #expect(bench.log.lines.contains("postfix/bounce: \(job.id): sender non-delivery notification: \(bounce.id)"))
        }
        let success = String(buffer: try #require(bounces.last).content)
        #expect(success.contains("Final-Recipient: rfc822; ok@d.example\r\n") && !success.contains("Action: failed"))
        try await bench.end()
    }

    /// What many notices return of the message is bounded together, and so is their number.
    @Test func noticesForManyRecipientsAreBounded() async throws {
        let bench = try RelayBench(["bounce_size_limit": "0"], routes: ["x.example": "error:5.1.1 no such thing"])
        let text = "Subject: long\r\n\r\n" + String(repeating: String(repeating: "x", count: 78) + "\r\n", count: 500)
        var job = bench.job(from: "a@b.example", to: (0..<1_003).map { "u\($0)@x.example" }, TestContent(bytes: ByteBuffer(string: text)))
        job.envelope.verpDelimiters = Self.delimiters
        let bounces = try await bench.deliver(job).bounces
        #expect(bounces.count == 1_001)
        #expect(bounces[7].envelope.recipients.map(\.address.description) == ["a+u7=x.example@b.example"])
        #expect(bounces.reduce(0) { $0 + $1.content.readableBytes } < 8 << 20)
        let rest = String(buffer: try #require(bounces.last).content)
        #expect(rest.contains("To: a@b.example\r\n"))
        for place in 1_000..<1_003 { #expect(rest.contains("Final-Recipient: rfc822; u\(place)@x.example\r\n")) }
        #expect(!rest.contains("u999@x.example"))
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

    /// Success and failure in one attempt: a notice of each, which become durable together with the outcomes.
    @Test func aNoticeOfFailureAndOneOfSuccess() async throws {
        let bench = try RelayBench(routes: ["d.example": "discard:", "x.example": "error:5.1.1 no such thing"])
        var job = bench.job(to: ["c@d.example", "u@x.example"], Self.content)
        job.envelope.recipients[0].notify = .success
        let bounces = try await bench.deliver(job).bounces
        #expect(bounces.count == 2)
        let failure = String(buffer: try #require(bounces.first).content)
        #expect(failure.contains("Subject: Undelivered Mail Returned to Sender\r\n"))
        #expect(failure.contains("u@x.example\r\nOriginal-Recipient: rfc822;u@x.example\r\nAction: failed\r\n"))
        #expect(!failure.contains("c@d.example") && failure.contains("\r\n\r\nbody\r\n"))
        let success = String(buffer: try #require(bounces.last).content)
        #expect(success.contains("Subject: Successful Mail Delivery Report\r\n"))
        #expect(success.contains("c@d.example\r\nOriginal-Recipient: rfc822;c@d.example\r\nAction: delivered\r\n"))
        #expect(!success.contains("u@x.example") && !success.contains("body"))
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): sender delivery status notification: \(bounces[1].id)"))
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
