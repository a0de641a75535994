import NIOCore
import SMTPCore
import Spool
import Testing

@testable import Relay

/// One connection for many messages, and what happens when the server does not play along.
@Suite struct ReuseTests {
    @Test func manyMessagesShareConnections() async throws {
        let bench = try RelayBench(["default_destination_concurrency_limit": "2", "initial_destination_concurrency": "1"])
        let server = try await FaultyServer.started(on: bench.group)
        let jobs = (0..<50).map { bench.job(to: ["u\($0)@[127.0.0.1]:\(server.port)"]) }
        let routed = jobs
        for job in routed { bench.agent.deliver(job) }
        for job in routed { #expect(try await bench.report(of: job.id).outcomes == [.delivered]) }
        let seen = server.seen
        #expect(seen.messages.count == 50)
        #expect(bench.log.lines.count { $0.contains("status=sent") } == 50)
        #expect(!seen.commands.contains("RSET"))
        try await server.stop()
        try await bench.end()
    }

    @Test func oneDestinationStaysWithinItsLimit() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let routed = try RelayBench(
            ["default_destination_concurrency_limit": "2", "initial_destination_concurrency": "1"],
            routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
        )
        let jobs = (0..<50).map { routed.job(to: ["u\($0)@x.example"]) }
        for job in jobs { routed.agent.deliver(job) }
        for job in jobs { #expect(try await routed.report(of: job.id).outcomes == [.delivered]) }
        #expect(server.seen.connections <= 2)
        #expect(routed.log.lines.contains { $0.contains("conn_use=") })
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    /// A refused message leaves the server in the middle of a transaction: RSET goes out with the next MAIL.
    @Test func resetOnlyWhereNeeded() async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(
            FaultyServer.Script(actions: ["RCPT TO:<bad@x.example>": .say("550 5.1.1 no")]),
            on: bench.group
        )
        let routed = try RelayBench(
            ["default_destination_concurrency_limit": "1", "default_destination_recipient_limit": "1"],
            routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
        )
        let report = try await routed.deliver(routed.job(to: ["bad@x.example", "a@x.example", "b@x.example"]))
        #expect(report.outcomes[1...] == [.delivered, .delivered])
        let seen = server.seen
        #expect(seen.connections == 1)
        #expect(
            seen.commands.filter { $0 == "RSET" || $0.hasPrefix("RCPT") } == [
                "RCPT TO:<bad@x.example>", "RSET", "RCPT TO:<a@x.example>", "RCPT TO:<b@x.example>",
            ]
        )
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    /// The server closes each connection after one message: the kept one is found dead, and nobody is deferred for that.
    @Test(arguments: [FaultyServer.Action.close, .replyAndClose("421 4.4.2 idle for too long")]) func deadConnectionIsReplaced(
        _ action: FaultyServer.Action
    ) async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(
            FaultyServer.Script(actions: ["MAIL FROM:<second@y.example> SIZE=21": action], faultyConnections: 1),
            on: bench.group
        )
        let routed = try RelayBench(
            ["default_destination_concurrency_limit": "1"],
            routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
        )
        let first = routed.job(from: "first@y.example", to: ["a@x.example"])
        let second = routed.job(from: "second@y.example", to: ["a@x.example"])
        routed.agent.deliver(first)
        routed.agent.deliver(second)
        #expect(try await routed.report(of: first.id).outcomes == [.delivered])
        #expect(try await routed.report(of: second.id).outcomes == [.delivered])
        #expect(server.seen.connections == 2)
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }

    /// The connection is one that is always kept: otherwise it is only while more mail comes soon, and a slow machine hands in the second message
    /// when the first is gone.
    @Test(arguments: [false, true]) func countLimit(oneByOne: Bool) async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(on: bench.group)
        let routed = try RelayBench(
            [
                "default_destination_concurrency_limit": "1", "smtp_connection_reuse_count_limit": "2",
                "smtp_connection_cache_destinations": "[127.0.0.1]:\(server.port)", "smtp_connection_cache_time_limit": "100s",
            ],
            routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
        )
        let jobs = (0..<6).map { routed.job(to: ["u\($0)@x.example"]) }
        for job in jobs {
            routed.agent.deliver(job)
            if oneByOne { #expect(try await routed.report(of: job.id).outcomes == [.delivered]) }
        }
        for job in jobs { #expect(try await routed.report(of: job.id).outcomes == [.delivered]) }
        #expect(server.seen.connections == 2)
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }
}
