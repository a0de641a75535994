import Foundation
import NIOCore
import PosternTesting
import Resolver
import Routing
import SMTPCore
import Spool
import Testing

@testable import Relay

/// Where mail goes: the transports without a connection, LMTP, MX records, and what happens when a host is not there.
@Suite struct TransportTests {
    static let local: [(route: String, outcome: RecipientOutcome, line: String)] = [
        (
            "error:5.1.1 no such thing", .bounced("no such thing"),
            "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=5.1.1, status=bounced (no such thing)"
        ),
        ("error:go away", .bounced("go away"), "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=5.0.0, status=bounced (go away)"),
        ("retry:4.0.0 later", .deferred("later"), "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=4.0.0, status=deferred (later)"),
        ("discard:silently", .delivered, "postfix/discard: ID: to=<u@x.example>, relay=none, D, dsn=2.0.0, status=sent (silently)"),
        (
            "nosuch:foo", .deferred("mail transport unavailable"),
            "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=4.3.0, status=deferred (mail transport unavailable)"
        ),
        (
            "illegal:", .bounced("bad address syntax"),
            "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=5.1.3, status=bounced (bad address syntax)"
        ),
        (
            "failed:", .deferred("address resolver failure"),
            "postfix/error: ID: to=<u@x.example>, relay=none, D, dsn=4.3.0, status=deferred (address resolver failure)"
        ),
    ]

    @Test(arguments: local) func withoutConnection(_ example: (route: String, outcome: RecipientOutcome, line: String)) async throws {
        let bench = try RelayBench(routes: ["x.example": example.route])
        let job = bench.job(to: ["u@x.example"])
        #expect(try await bench.deliver(job).outcomes == [example.outcome])
        let line = try #require(bench.log.line("to=<u@x.example>"))
        let shape = line.replacing(/delay=[0-9.]+, delays=[0-9.\/]+/, with: "D").replacing("\(job.id)", with: "ID")
        #expect(shape == example.line)
        try await bench.end()
    }

    @Test func deferTransports() async throws {
        let bench = try RelayBench(["defer_transports": "smtp"], routes: ["x.example": "smtp:[127.0.0.1]:1"])
        #expect(try await bench.deliver(bench.job(to: ["u@x.example"])).outcomes == [.deferred("deferred transport")])
        try await bench.end()
    }

    @Test func softBounce() async throws {
        let bench = try RelayBench(routes: ["x.example": "soft:[127.0.0.1]:PORT"], transports: [("soft", "error", ["soft_bounce": "yes"])])
        let report = try await bench.deliver(bench.job(to: ["u@x.example"]))
        #expect(report.outcomes == [.deferred("[127.0.0.1]:PORT")])
        #expect(report.bounce == nil)
        #expect(bench.log.line("dsn=4.0.0, status=SOFTBOUNCE") != nil)
        try await bench.end()
    }

    @Test(arguments: [true, false]) func lmtpAnswersForEachRecipient(pipelining: Bool) async throws {
        let path = "/tmp/postern-relay-\(ProcessInfo.processInfo.processIdentifier)-\(pipelining)"
        try? FileManager.default.removeItem(atPath: path)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let bench = try RelayBench(routes: ["x.example": "lmtp:unix:\(path)"])
        let server = try await FaultyServer.started(
            FaultyServer.Script(
                actions: [
                    "RCPT TO:<no@x.example>": .say("550 5.1.1 unknown"), ". <full@x.example>": .say("452 4.2.2 over quota"),
                    ". <bad@x.example>": .say("554 5.6.0 refused"),
                ],
                capabilities: pipelining ? ["PIPELINING"] : [],
                isLMTP: true
            ),
            on: bench.group,
            path: path
        )
        let report = try await bench.deliver(bench.job(to: ["a@x.example", "no@x.example", "full@x.example", "bad@x.example"]))
        let host = "host mail.example.com[\(path)] said: "
        #expect(
            report.outcomes == [
                .delivered, .bounced("\(host)550 5.1.1 unknown (in reply to RCPT TO command)"),
                .deferred("\(host)452 4.2.2 over quota (in reply to end of DATA command)"),
                .bounced("\(host)554 5.6.0 refused (in reply to end of DATA command)"),
            ]
        )
        #expect(server.seen.commands.first == "LHLO mail.example.com")
        #expect(bench.log.line("to=<a@x.example>, relay=mail.example.com[\(path)], delay=")?.hasPrefix("postfix/lmtp: ") == true)
        try await server.stop()
        try await bench.end()
    }

    @Test func missingSocket() async throws {
        let bench = try RelayBench(routes: ["x.example": "lmtp:unix:/nonexistent/lmtp"])
        let report = try await bench.deliver(bench.job(to: ["a@x.example"]))
        #expect(report.outcomes == [.deferred("connect to mail.example.com[/nonexistent/lmtp]: No such file or directory")])
        try await bench.end()
    }

    /// Three exchangers: one refuses connections, one is busy, the third takes what the others did not.
    @Test func triesTheNextExchanger() async throws {
        let bench = try RelayBench()
        let taker = try await FaultyServer.started(
            FaultyServer.Script(actions: ["RCPT TO:<r4@x.example>": .say("450 4.2.0 later")]),
            on: bench.group
        )
        let busy = try await FaultyServer.started(FaultyServer.Script(actions: ["greeting": .say("421 4.3.2 busy")]), on: bench.group)
        let routed = try RelayBench(routes: ["x.example": "smtp:[127.0.0.1]:1, [127.0.0.1]:\(busy.port), [127.0.0.1]:\(taker.port)"])
        let job = routed.job(to: ["r4@x.example", "ok@x.example"])
        let report = try await routed.deliver(job)
        #expect(
            report.outcomes == [.deferred("host 127.0.0.1[127.0.0.1] said: 450 4.2.0 later (in reply to RCPT TO command)"), .delivered]
        )
        #expect(routed.log.lines.contains("postfix/smtp: connect to 127.0.0.1[127.0.0.1]:1: Connection refused"))
        #expect(routed.log.lines.contains("postfix/smtp: \(job.id): host 127.0.0.1[127.0.0.1] refused to talk to me: 421 4.3.2 busy"))
        try await taker.stop()
        try await busy.stop()
        try await routed.end()
        try await bench.end()
    }

    @Test func fallsBackToSMTPFallbackRelay() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let routed = try RelayBench(["smtp_fallback_relay": "[127.0.0.1]:\(server.port)"], routes: ["x.example": "smtp:[127.0.0.1]:1"])
        #expect(try await routed.deliver(routed.job(to: ["a@x.example"])).outcomes == [.delivered])
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    static let names: [(answer: NameAnswer<[MailExchanger]>, outcome: RecipientOutcome)] = [
        (.noSuchDomain, .bounced("Host or domain name not found. Name service error for name=x.example type=AAAA: Host not found")),
        (
            .temporaryFailure("timeout"),
            .deferred("Host or domain name not found. Name service error for name=x.example type=MX: Host not found, try again")
        ),
        (.found([MailExchanger(preference: 0, host: "")]), .bounced("Domain x.example does not accept mail (nullMX)")),
        (.noData, .bounced("Host or domain name not found. Name service error for name=x.example type=AAAA: Host not found")),
        (
            .found([MailExchanger(preference: 10, host: "gone.example")]),
            .bounced("Host or domain name not found. Name service error for name=gone.example type=AAAA: Host not found")
        ),
        (.found([MailExchanger(preference: 10, host: "self.example")]), .bounced("mail for x.example loops back to myself")),
    ]

    @Test(arguments: names) func nameService(_ example: (answer: NameAnswer<[MailExchanger]>, outcome: RecipientOutcome)) async throws {
        let names = ScriptedNameService(
            addresses: ["self.example": .found([.v4(0xC000_0201)])],
            mailExchangers: ["x.example": example.answer]
        )
        let bench = try RelayBench(names: names, ownAddresses: [.v4(0xC000_0201)])
        #expect(try await bench.deliver(bench.job(to: ["a@x.example"])).outcomes == [example.outcome])
        try await bench.end()
    }

    /// MX 10 is down, MX 20 answers; both are found by name.
    @Test func exchangersInOrder() async throws {
        let names = ScriptedNameService(
            addresses: ["mx1.example": .found([.v4(0x7F00_0002)]), "mx2.example": .found([.v4(0x7F00_0001)])],
            mailExchangers: [
                "x.example": .found([
                    MailExchanger(preference: 10, host: "mx1.example"), MailExchanger(preference: 20, host: "mx2.example"),
                ])
            ]
        )
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let routed = try RelayBench(["smtp_tcp_port": "\(server.port)"], names: names)
        #expect(try await routed.deliver(routed.job(to: ["a@x.example"])).outcomes == [.delivered])
        #expect(routed.log.lines.contains("postfix/smtp: connect to mx1.example[127.0.0.2]:\(server.port): Connection refused"))
        #expect(routed.log.line("relay=mx2.example[127.0.0.1]:\(server.port), ") != nil)
        #expect(names.questions == ["MX x.example", "A mx1.example", "A mx2.example"])
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    @Test func onlyBetterExchangersThanOurselves() async throws {
        let names = ScriptedNameService(
            addresses: [
                "a.example": .found([.v4(0x7F00_0002)]), "self.example": .found([.v4(0xC000_0201)]),
                "c.example": .found([.v4(0x7F00_0003)]),
            ],
            mailExchangers: [
                "x.example": .found([
                    MailExchanger(preference: 10, host: "a.example"), MailExchanger(preference: 20, host: "self.example"),
                    MailExchanger(preference: 30, host: "c.example"),
                ])
            ]
        )
        let bench = try RelayBench(["smtp_tcp_port": "9"], names: names, ownAddresses: [.v4(0xC000_0201)])
        let report = try await bench.deliver(bench.job(to: ["u@x.example"]))
        #expect(report.outcomes == [.deferred("connect to a.example[127.0.0.2]:9: Connection refused")])
        #expect(!bench.log.lines.contains { $0.contains("c.example") })
        try await bench.end()
    }

    /// After a whole cohort of failures the destination is left alone; a flush ends that.
    @Test func deadDestinationIsSuspended() async throws {
        let bench = try RelayBench(
            ["initial_destination_concurrency": "1"],
            routes: ["x.example": "smtp:[127.0.0.1]:1"]
        )
        let refused = "connect to 127.0.0.1[127.0.0.1]:1: Connection refused"
        #expect(try await bench.deliver(bench.job(to: ["a@x.example"])).outcomes == [.deferred(refused)])
        #expect(
            try await bench.deliver(bench.job(to: ["b@x.example"])).outcomes == [.deferred("delivery temporarily suspended: \(refused)")]
        )
        #expect(bench.log.line("to=<b@x.example>")?.hasPrefix("postfix/error: ") == true)
        bench.agent.flush()
        #expect(try await bench.deliver(bench.job(to: ["c@x.example"])).outcomes == [.deferred(refused)])
        try await bench.end()
    }

    @Test func afterTheEndEveryJobIsStillReported() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(actions: [".": .silence]), on: bench.group)
        let hanging = bench.job(to: ["a@[127.0.0.1]:\(server.port)"])
        bench.agent.deliver(hanging)
        while server.seen.commands.last != "DATA" { try await Task.sleep(for: .milliseconds(10)) }
        await bench.agent.shutDown(within: .milliseconds(200))
        guard case .deferred(let text)? = bench.ledger.reports.first?.outcomes.first else {
            return #expect(Bool(false), "\(bench.ledger.reports)")
        }
        #expect(text.hasPrefix("lost connection with 127.0.0.1[127.0.0.1] while sending end of data"))
        let late = bench.job(to: ["b@x.example"])
        let report = try await bench.deliver(late)
        #expect(report.outcomes == [.deferred("delivery interrupted: the mail system is stopping")])
        try await server.stop()
        try await bench.group.shutdownGracefully()
    }

    /// A name service that never answers must not hold up the end.
    @Test func theEndDoesNotWaitForAnybody() async throws {
        let bench = try RelayBench(resolver: { _, _ in
            try? await Task.sleep(for: .seconds(3600))
            return AddressResolution(outcome: .failed("late"), addressClass: .default, transport: "", nextHop: "", recipient: .null)
        })
        let job = bench.job(to: ["a@x.example"])
        bench.agent.deliver(job)
        await bench.agent.shutDown(within: .milliseconds(100))
        #expect(bench.ledger.reports.map(\.id) == [job.id])
        #expect(bench.ledger.reports.first?.outcomes == [.deferred("delivery interrupted: the mail system is stopping")])
    }
}
