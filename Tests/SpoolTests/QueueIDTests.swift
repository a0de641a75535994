import NIOCore
import PosternTesting
import SMTPCore
import Synchronization
import Testing

@testable import Spool

/// Queue ids are leased durably and given once; an id that is in use is nobody else's.
@Suite struct QueueIDTests {
    private final class Answers: Sendable {
        let ranges = Mutex<[Result<Range<UInt64>, SpoolError>]>([])
        var count: Int { ranges.withLock { $0.count } }
        var given: [Range<UInt64>] { ranges.withLock { $0.compactMap { try? $0.get() } } }
        var failed: Int { count - given.count }

        func ask(_ spool: Spool, _ number: Int) { spool.reserveQueueIDs(number) { answer in self.ranges.withLock { $0.append(answer) } } }
    }

    /// More than the lease holds: the answer comes with the flush, and in the order of the questions.
    @Test func whoeverAsksIsAnsweredWhenTheLeaseIsDurable() throws {
        let bench = Bench()
        let spool = try bench.open()
        let answers = Answers()
        for number in [10, 100_000, 1] { answers.ask(spool, number) }
        #expect(answers.count == 0)
        while spool.turn() {}
        #expect(answers.given.map(\.count) == [10, 100_000, 1])
        #expect(zip(answers.given, answers.given.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
        #expect(answers.given.first?.lowerBound == spool.firstQueueID.rawValue)
        bench.disk.powerCut()
        let next = try bench.open().reserveQueueIDs(1).lowerBound
        #expect(next >= answers.given[2].upperBound)
    }

    /// One failed flush costs a new segment, and nothing else; a disk that takes nothing is an answer, too.
    @Test(arguments: [1, 20]) func aFailingDiskIsAnAnswer(failures: Int) throws {
        let bench = Bench()
        let spool = try bench.open()
        _ = try bench.accept(spool)
        for failure in 0..<failures { bench.disk.failFlush(after: failure) }
        let answers = Answers()
        answers.ask(spool, 100_000)
        for _ in 0..<10 where answers.count == 0 { spool.turn() }
        #expect(answers.count == 1 && answers.failed == (failures == 1 ? 0 : 1))
    }

    @Test func theEndOfTheQueueIsAnAnswer() throws {
        let bench = Bench()
        let spool = try bench.open()
        let answers = Answers()
        for failure in 0..<100 { bench.disk.failFlush(after: failure) }
        answers.ask(spool, 1)
        spool.close()
        answers.ask(spool, 1)
        #expect(answers.failed == 2)
    }

    enum Owner: CaseIterable { case small, large, active, removedInDelivery, quarantined }

    /// A hand-off that is not ours could use an id again: the message that has it stays what it is, and so does its file.
    @Test(arguments: Owner.allCases, [100, 150_000]) func anIDInUseIsRefused(owner: Owner, size: Int) throws {
        let bench = Bench()
        var spool = try bench.open()
        let (id, _) = try bench.accept(spool, size: owner == .small || owner == .quarantined ? 3_000 : 200_000)
        _ = try bench.accept(spool)
        let agent = RecordingAgent()
        switch owner {
        case .small, .large: break
        case .active, .removedInDelivery:
            spool.start(agent: agent)
            spool.turn()
            if owner == .removedInDelivery { _ = try spool.perform(.delete, on: .message(id)) }
        case .quarantined:
            bench.disk.processCrash()
            bench.disk.corrupt("/q/journal/00000001.log", at: SegmentHeader.length + 48 + 32 + 48 + 32 + 25, with: [0xEE])
            spool = try bench.open()
            #expect(try spool.status().quarantined == 1)
        }
        let stranger = ByteBuffer(repeating: 0x21, count: size)
        for isAborted in [true, false] {
            if isAborted {
                let writer = spool.beginLarge(id)
                writer.append(stranger) { _ in }
                writer.abort()
            } else {
                let receipt = RecordingReceipt()
                let incoming = IncomingMessage(id: id, envelope: envelope(to: ["x@example.com"]), content: stranger, arrival: 1)
                spool.accept(incoming, receipt: receipt)
                while spool.turn() {}
                #expect(receipt.error != nil)
            }
            switch owner {
            case .small, .large, .active:
                let (listing, stored) = try spool.message(id)
                #expect(listing.recipients.count == 2)
                #expect(try read(stored) == content(id, owner == .small ? 3_000 : 200_000))
            case .removedInDelivery:
                #expect(try read(#require(agent.jobs.first { $0.id == id }).content) == content(id, 200_000))
            case .quarantined: #expect(try read(spool.export(id).content) == content(id, 3_000))
            }
        }
        // A file that the stranger made has gone; the owner's goes with its report.
        if owner == .removedInDelivery { spool.record(DeliveryReport(id: id, outcomes: [.delivered, .delivered])) }
        while spool.turn() {}
        // Of one in quarantine nobody can say whether it had a file.
        let mayStay = owner == .large || owner == .active || owner == .quarantined && size > 65_536
        #expect(bench.disk.names(in: "/q/content") == (mayStay ? [id.description] : []))
    }
}
