import Foundation
import NIOCore
import SMTPCore
import Settings
import Spool
import Testing

@testable import Relay

/// Reports that mail waits: when, to whom, once; what they say; and the report that it has arrived at last.
@Suite struct DelayTests {
    struct Example: Sendable, CustomTestStringConvertible {
        var what: String
        var notify: [NotifyConditions] = [[]]
        var waiting = [0]
        var sender = "s@y.example"
        var age = 14_400.0
        var isTold = false
        var parameters: [String: String] = [:]
        var decision: DelayDecision

        var testDescription: String { what }
    }

    private static let copies = ["notify_classes": "delay"]

    /// Each line as a Postfix 3.7.11 does it.
    @Test(arguments: [
        Example(what: "no NOTIFY", decision: .tell(sender: [0], postmaster: [])),
        Example(what: "a second too young", age: 14_399, decision: .none),
        Example(what: "a clock that cannot be trusted", age: -.infinity, decision: .none),
        Example(what: "told before", isTold: true, decision: .none),
        Example(what: "never by default", notify: [.delay], age: 1e9, parameters: ["delay_warning_time": "0"], decision: .none),
        Example(what: "nobody waits", waiting: [], decision: .none),
        Example(what: "DELAY", notify: [.delay], decision: .tell(sender: [0], postmaster: [])),
        Example(what: "DELAY and others", notify: [[.success, .failure, .delay]], decision: .tell(sender: [0], postmaster: [])),
        Example(what: "NEVER", notify: [.never], decision: .none),
        Example(what: "FAILURE", notify: [.failure], decision: .none),
        Example(what: "SUCCESS", notify: [.success], decision: .none),
        Example(
            what: "each for itself, of those who wait",
            notify: [[], .never, .delay, .failure, [], .delay],
            waiting: [0, 1, 2, 3],
            decision: .tell(sender: [0, 2], postmaster: [])
        ),
        Example(what: "the null sender", sender: "", parameters: copies, decision: .none),
        Example(what: "a notice to the postmaster", sender: "double-bounce@mail.example.com", parameters: copies, decision: .discard),
        Example(
            what: "a copy with everybody",
            notify: [[], .never, .failure],
            waiting: [0, 1, 2],
            parameters: copies,
            decision: .tell(sender: [0], postmaster: [0, 1, 2])
        ),
        Example(what: "a copy alone", notify: [.never], parameters: copies, decision: .tell(sender: [], postmaster: [0])),
        Example(what: "a copy once", notify: [.never], isTold: true, parameters: copies, decision: .none),
    ]) func decision(_ example: Example) {
        let parameters = ["delay_warning_time": "4h"].merging(example.parameters) { $1 }
        let recipients = example.notify.enumerated().map { place, notify in
            Recipient(address: Address(localPart: "r\(place)", domain: "x.example"), notify: notify)
        }
        let decision = DelayDecision(
            about: example.waiting,
            of: Envelope(sender: RelayBench.address(example.sender), recipients: recipients),
            age: example.age,
            isTold: example.isTold,
            BounceSettings(.testing(parameters))
        )
        #expect(decision == example.decision)
    }

    static let route = ["x.example": "error:5.1.1 no such thing", "later.example": "retry:4.2.0 come later", "d.example": "discard:"]
    static let warned = ["delay_warning_time": "4h", "maximal_queue_lifetime": "5d"]
    static let content = TestContent(bytes: ByteBuffer(string: "Subject: slow\r\n\r\nbody\r\n"))

    @Test func theSenderIsTold() async throws {
        let bench = try RelayBench(Self.warned, routes: Self.route)
        var job = bench.job(to: ["u@later.example", "v@later.example", "w@d.example"], Self.content, age: 15_000)
        job.arrival = 1_795_229_362
        job.agesFrom = WallClock.now() - 15_000
        job.envelope.returns = .full
        job.envelope.envelopeID = "QQ 314"
        job.envelope.recipients[1].notify = .never
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.deferred("come later"), .deferred("come later"), .delivered])
        #expect(report.tellsOfDelay)
        let notice = try #require(report.bounce)
        #expect(notice.envelope.sender.isNull && notice.envelope.recipients.map(\.address.description) == ["s@y.example"])
        let text = String(buffer: notice.content)
        for part in [
            "From: Mail Delivery System <MAILER-DAEMON@mail.example.com>\r\nSubject: Delayed Mail (still being retried)\r\nTo: s@y.example\r\n"
                + "Auto-Submitted: auto-replied\r\n",
            "Original-Envelope-Id: QQ 314\r\n", "Arrival-Date: Sat, 21 Nov 2026 02:49:22 +0000 (UTC)\r\n",
            "Final-Recipient: rfc822; u@later.example\r\nOriginal-Recipient: rfc822;u@later.example\r\nAction: delayed\r\nStatus: 4.2.0\r\n"
                + "Diagnostic-Code: X-Postfix; come later\r\nWill-Retry-Until: Thu, 26 Nov 2026 02:49:22 +0000 (UTC)\r\n",
            "Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n",
            "Return-Path: <s@y.example>\r\nSubject: slow\r\n\r\n--",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        #expect(!text.contains("v@later") && !text.contains("w@d") && !text.contains("\r\nbody"))
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): sender delay notification: \(notice.id)"))
        try await bench.end()
    }

    /// Told before, too young, a clock that is behind, no reports configured, a disk that is nearly full.
    @Test(arguments: 0..<5) func nobodyIsTold(_ reason: Int) async throws {
        let bench = try RelayBench(
            reason == 3 ? [:] : Self.warned,
            routes: Self.route,
            ledger: TestLedger(storageIsShort: reason == 4)
        )
        var job = bench.job(to: ["u@later.example"], age: reason == 1 ? 14_000 : 15_000)
        job.isToldOfDelay = reason == 0
        if reason == 2 { job.agesFrom = .infinity }
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.deferred("come later")])
        #expect(report.bounces.isEmpty && !report.tellsOfDelay)
        try await bench.end()
    }

    /// A bounce, a report of delay and a copy of it, in this order, all with one set of outcomes.
    @Test func togetherWithABounceAndACopy() async throws {
        let bench = try RelayBench(
            Self.warned.merging(["notify_classes": "delay", "delay_notice_recipient": "boss@y.example"]) { $1 },
            routes: Self.route
        )
        var job = bench.job(to: ["u@later.example", "v@x.example", "w@later.example"], Self.content, age: 15_000)
        job.envelope.recipients[2].notify = .failure
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.deferred("come later"), .bounced("no such thing"), .deferred("come later")])
        #expect(report.tellsOfDelay && report.bounces.count == 3)
        let texts = report.bounces.map { String(buffer: $0.content) }
        let subjects = ["Undelivered Mail Returned to Sender", "Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail"]
        for (text, subject) in zip(texts, subjects) { #expect(text.contains("\r\nSubject: \(subject)\r\n")) }
        #expect(report.bounces.map(\.envelope.sender.description) == ["", "", "double-bounce@mail.example.com"])
        #expect(report.bounces.map { $0.envelope.recipients[0].address.description } == ["s@y.example", "s@y.example", "boss@y.example"])
        #expect(texts.map { $0.contains("u@later.example\r\nAction: delayed") } == [false, true, true])
        #expect(texts.map { $0.contains("w@later.example\r\nAction: delayed") } == [false, false, true])
        #expect(texts.map { $0.contains("\r\nbody\r\n") } == [true, false, false])
        #expect(texts.map { $0.contains("Auto-Submitted: auto-generated\r\n") } == [false, false, true])
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): postmaster delay notification: \(report.bounces[2].id)"))
        try await bench.end()
    }

    /// A notice to the postmaster that waits: said in the log, once, and nobody is written to.
    @Test func aNoticeThatWaits() async throws {
        let bench = try RelayBench(Self.warned, routes: Self.route)
        let job = bench.job(from: "double-bounce@mail.example.com", to: ["u@later.example"], age: 15_000)
        let report = try await bench.deliver(job)
        #expect(report.bounces.isEmpty && report.tellsOfDelay)
        #expect(bench.log.lines.contains("postfix/bounce: warning: \(job.id): undeliverable postmaster notification discarded"))
        try await bench.end()
    }

    /// At the attempt that gives it up, mail is not delayed any more.
    @Test func expiredMailIsReturned() async throws {
        let bench = try RelayBench(Self.warned, routes: Self.route)
        let report = try await bench.deliver(bench.job(to: ["u@later.example"], age: 500_000, isExpired: true))
        #expect(report.outcomes == [.bounced("come later")])
        #expect(!report.tellsOfDelay)
        #expect(String(buffer: try #require(report.bounce).content).contains("Action: failed\r\n"))
        try await bench.end()
    }

    /// If the report cannot be written, the mail waits untold, and the next attempt tells.
    @Test func aReportThatCannotBeWritten() async throws {
        let bench = try RelayBench(Self.warned, routes: Self.route, ledger: TestLedger(givesNoIDs: true))
        let report = try await bench.deliver(bench.job(to: ["u@later.example", "w@d.example"], age: 15_000))
        #expect(report.outcomes == [.deferred("come later"), .delivered])
        #expect(report.bounces.isEmpty && !report.tellsOfDelay)
        try await bench.end()
    }

    @Test(
        arguments: [
            // confirm_delay_cleared, told, NOTIFY of each recipient; who is reported.
            (true, true, [[], .delay, .never, .failure, [.failure, .delay]], [0, 1, 4]), (false, true, [[]], []), (true, false, [[]], []),
            // Success that is to be told anyway is told once.
            (true, true, [[.success, .delay], .success], [0, 1]), (false, true, [.success, []], [0]),
        ] as [(Bool, Bool, [NotifyConditions], [Int])]
    )
    func clearedDelay(_ example: (confirms: Bool, isTold: Bool, notify: [NotifyConditions], reported: [Int])) async throws {
        let bench = try RelayBench(
            Self.warned.merging(["confirm_delay_cleared": example.confirms ? "yes" : "no"]) { $1 },
            routes: Self.route
        )
        var job = bench.job(to: example.notify.indices.map { "r\($0)@d.example" }, Self.content, age: 15_000)
        for (place, notify) in example.notify.enumerated() { job.envelope.recipients[place].notify = notify }
        job.isToldOfDelay = example.isTold
        let report = try await bench.deliver(job)
        let text = report.bounce.map { String(buffer: $0.content) } ?? ""
        let lines = text.split(separator: "\r\n").filter { $0.hasPrefix("Final-Recipient") }
        #expect(lines.map(String.init) == example.reported.map { "Final-Recipient: rfc822; r\($0)@d.example" })
        #expect(text.contains("Subject: Successful Mail Delivery Report\r\n") == !example.reported.isEmpty)
        try await bench.end()
    }

    /// A next hop that offers DSN tells of success, but knows nothing of the delay.
    @Test func clearedDelayAtAServerWithDSN() async throws {
        let bench = try RelayBench(Self.warned.merging(["confirm_delay_cleared": "yes"]) { $1 })
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["DSN"]), on: bench.group)
        var job = bench.job(to: ["a@[127.0.0.1]:\(server.port)", "b@[127.0.0.1]:\(server.port)"], Self.content, age: 15_000)
        job.envelope.recipients[1].notify = .success
        job.isToldOfDelay = true
        let text = String(buffer: try #require(try await bench.deliver(job).bounce).content)
        #expect(text.contains("Final-Recipient: rfc822; a@") && text.contains("Action: relayed\r\n") && !text.contains("; b@"))
        try await server.stop()
        try await bench.end()
    }

    /// Python's parser, which nobody here wrote, takes it apart; mail with SMTPUTF8 has a report of RFC 6533.
    @Test(arguments: [false, true]) func isWellFormed(isGlobal: Bool) async throws {
        let bench = try RelayBench(Self.warned, routes: Self.route)
        let text = "Subject: \(isGlobal ? "gr\u{FC}n" : "x")\r\n\r\nb\u{F6}dy\r\n"
        var job = bench.job(to: ["\(isGlobal ? "\u{FC}" : "u")@later.example"], TestContent(bytes: ByteBuffer(string: text)), age: 15_000)
        job.envelope.needsUTF8 = isGlobal
        let notice = try #require(try await bench.deliver(job).bounce)
        #expect(notice.envelope.body == (isGlobal ? .eightBitMIME : .unspecified) && notice.envelope.needsUTF8 == isGlobal)
        let types = isGlobal ? "message/global-delivery-status message/global-headers" : "message/delivery-status text/rfc822-headers"
        let script = """
            import sys, email, email.policy
            m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
            parts = list(m.iter_parts())
            assert [p.get_content_type() for p in parts] == 'text/plain \(types)'.split(), parts
            defects = [d for p in m.walk() for d in p.defects]
            assert not defects, defects
            status = parts[1].get_payload()
            status = status if isinstance(status, str) else ''.join(str(p) for p in status)
            assert 'Action: delayed' in status and 'Will-Retry-Until: ' in status, status
            print('fine')
            """
        #expect(try BounceTests.python(script, input: Data(notice.content.readableBytesView)) == "fine\n")
        try await bench.end()
    }
}
