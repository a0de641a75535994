import NIOCore
import PosternTesting
import Resolver
import Routing
import SMTPCore
import Spool
import Synchronization
import Testing

@testable import Relay

/// A message, or many, to more domains than there are connections to be had.
@Suite struct ManyDestinationsTests {
    private static let domains = (0..<40).map { "d\($0).example" }

    private static func bench(_ port: Int, connectionLimit: Int) throws -> RelayBench {
        try RelayBench(
            routes: Dictionary(uniqueKeysWithValues: domains.map { ($0, "smtp:[\($0)]:\(port)") }),
            names: ScriptedNameService(
                addresses: Dictionary(uniqueKeysWithValues: domains.map { ($0, .found([.v4(0x7F00_0001)])) })
            ),
            connectionLimit: connectionLimit
        )
    }

    @Test func allAreServedInTurn() async throws {
        let other = try RelayBench()
        let server = try await FaultyServer.started(on: other.group)
        let bench = try Self.bench(server.port, connectionLimit: 3)
        let jobs = (0..<5).map { _ in bench.job(to: Self.domains.map { "a@\($0)" }) }
        for job in jobs { bench.agent.deliver(job) }
        for job in jobs { #expect(try await bench.report(of: job.id).outcomes == Self.domains.map { _ in .delivered }) }
        try await bench.end()
        try await server.stop()
        try await other.end()
    }

    /// Servers that say nothing hold what they have got, and no more.
    @Test func connectionsAreBounded() async throws {
        let other = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(actions: ["greeting": .silence]), on: other.group)
        let bench = try Self.bench(server.port, connectionLimit: 3)
        bench.agent.deliver(bench.job(to: Self.domains.map { "a@\($0)" }))
        for _ in 0..<500 where server.seen.connections < 3 { try await Task.sleep(for: .milliseconds(10)) }
        try await Task.sleep(for: .milliseconds(300))
        #expect(server.seen.connections == 3)
        await bench.agent.shutDown(within: .zero)
        #expect(bench.ledger.reports.count == 1)
        try await bench.group.shutdownGracefully()
        try await server.stop()
        try await other.end()
    }

    /// Each recipient has a destination of its own: looked for among all before it, they would take minutes.
    @Test func aMessageToManyDomains() async throws {
        let bench = try RelayBench(resolver: { recipient, _ in
            .init(
                outcome: .resolved,
                addressClass: .default,
                transport: "discard",
                nextHop: "2.0.0 \(recipient.domain ?? "")",
                recipient: recipient
            )
        })
        let report = try await bench.deliver(bench.job(to: (0..<20_000).map { "a@a-domain-with-a-name-of-some-length.d\($0).example" }))
        #expect(report.outcomes.count == 20_000)
        #expect(report.outcomes.allSatisfy { $0 == .delivered })
        try await bench.end()
    }

    @Test func slotsGoToWhoeverHasWaitedLongest() {
        let slots = ConnectionSlots(2)
        let granted = Mutex([Int]())
        for number in 0..<5 where slots.take(orLater: { granted.withLock { $0.append(number) } }) { granted.withLock { $0.append(number) } }
        #expect(granted.withLock { $0 } == [0, 1])
        #expect(slots.isContended)
        for _ in 0..<4 { slots.release() }
        #expect(granted.withLock { $0 } == [0, 1, 2, 3, 4])
        #expect(!slots.isContended)
        slots.release()
        let taken = (0..<3).map { _ in slots.take(orLater: {}) }
        #expect(taken == [true, true, false])
    }
}
