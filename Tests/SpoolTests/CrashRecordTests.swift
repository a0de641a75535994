import NIOCore
import PosternTesting
import SMTPCore
import Spool
import Testing

/// A message over which the process has failed twice waits for an administrator; everything else flows. The fault handler itself is tried
/// on the real server (Tests/Acceptance/test_poison.py).
@Suite struct CrashRecordTests {
    private static let path = "/q/journal/CRASH"

    /// What the handler stores when the process fails in a thread that works on the message.
    private func crash(_ bench: Bench, over id: QueueID, place: UInt64 = 1) throws {
        var page = bench.disk.contents(Self.path) ?? ByteBuffer(repeating: 0, count: 4_096)
        page.setInteger(UInt64(0x3153_5243_5453_4F50), at: 0, endianness: .little)
        page.setInteger(id.rawValue, at: 16, endianness: .little)
        page.setInteger(place << 32 | 4, at: 24, endianness: .little)
        let file = try (try? bench.disk.open(Self.path)) ?? bench.disk.create(Self.path)
        try file.write([page], at: 0)
        bench.disk.processCrash()
    }

    private func jobs(_ bench: Bench, _ observer: RecordingObserver = RecordingObserver()) throws -> (Spool, RecordingAgent) {
        let spool = try bench.open(observer)
        let agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        spool.turn()
        return (spool, agent)
    }

    @Test func heldAtTheSecondCrashAndReleasedByHand() throws {
        let bench = Bench()
        var spool = try bench.open()
        let (bad, _) = try bench.accept(spool)
        let (good, _) = try bench.accept(spool)
        try crash(bench, over: bad)
        let first = RecordingObserver()
        var (_, agent) = try jobs(bench, first)
        #expect(agent.jobs.map(\.id) == [bad, good])
        #expect(agent.jobs.allSatisfy { $0.mayBeDuplicate })
        #expect(first.events.contains { if case .crashed(bad, 4) = $0 { true } else { false } })
        // A crash over another message in between does not make it better.
        try crash(bench, over: good)
        (_, agent) = try jobs(bench)
        #expect(agent.jobs.map(\.id) == [bad, good])
        try crash(bench, over: bad)
        let second = RecordingObserver()
        (spool, agent) = try jobs(bench, second)
        #expect(agent.jobs.map(\.id) == [good])
        #expect(second.events.contains { if case .poisonous(bad) = $0 { true } else { false } })
        let listing = try #require(try spool.list().first { $0.id == bad })
        #expect(listing.state == .hold && listing.note.contains("ended twice") && listing.recipients.count == 2)
        #expect(QueueReport.text(listing).contains("(held: the queue role has ended twice while working on this message)\n"))
        #expect(QueueReport.json(listing).contains(#""hold_reason": "held: "#))
        // It stays so, whatever ends the process, and nobody is told again.
        bench.disk.powerCut()
        let third = RecordingObserver()
        (spool, agent) = try jobs(bench, third)
        #expect(agent.jobs.map(\.id) == [good] && third.events.allSatisfy { if case .poisonous = $0 { false } else { true } })
        // flush leaves it alone, release tries it again, from nought.
        _ = try spool.perform(.flush, on: .all)
        #expect(agent.jobs.map(\.id) == [good])
        #expect(try spool.perform(.release, on: .message(bad)) == 1)
        spool.turn()
        #expect(agent.jobs.map(\.id) == [good, bad])
        try crash(bench, over: bad)
        (_, agent) = try jobs(bench)
        #expect(agent.jobs.map(\.id) == [bad, good])
    }

    @Test func aRecordThatCrashesTheReaderIsNotReadAgain() throws {
        let bench = Bench()
        var spool = try bench.open()
        let (bad, _) = try bench.accept(spool)
        let (good, _) = try bench.accept(spool)
        for _ in 0..<2 {
            try crash(bench, over: bad, place: 2)
            _ = try bench.open()
        }
        bench.disk.processCrash()
        let agent: RecordingAgent
        (spool, agent) = try jobs(bench)
        #expect(agent.jobs.map(\.id) == [good])
        #expect(try spool.status().damages.count == 1)
        #expect(try spool.list().first { $0.id == bad }?.recipients == [])
        #expect(throws: SpoolError.self) { try spool.message(bad) }
        #expect(try spool.perform(.delete, on: .message(bad)) == 1)
        #expect(try spool.status().damages.isEmpty)
    }

    @Test(arguments: [0, 15, 100, 4_095, 4_096, 9_000]) func anyPageIsReadWithoutHarm(length: Int) throws {
        for seed in 1...50 {
            let bench = Bench()
            let (id, _) = try bench.accept(try bench.open())
            var random = SeededRandom(seed: UInt64(seed))
            var bytes = ByteBuffer(bytes: (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
            if length >= 8 { bytes.setInteger(UInt64(0x3153_5243_5453_4F50), at: 0, endianness: .little) }
            let file = try bench.disk.create(Self.path)
            try file.write([bytes], at: 0)
            bench.disk.processCrash()
            let (_, agent) = try jobs(bench)
            #expect(agent.jobs.map(\.id) == [id])
        }
    }
}
