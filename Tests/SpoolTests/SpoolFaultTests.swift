import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// What the spool does when the disk rots, fails for good, or the process dies again and again.
@Suite struct SpoolFaultTests {
    @Test func rotInTheJournalIsReportedAndNothingIsDeleted() throws {
        let bench = Bench()
        var spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        var ids: [QueueID] = []
        for _ in 0..<20 { ids.append(try bench.accept(spool, size: 3_000).0) }
        let large = try bench.accept(spool, size: 100_000).0
        bench.disk.processCrash()
        // The second message's record, somewhere in its content.
        bench.disk.corrupt("/q/journal/00000001.log", at: 5_000, with: [1, 2, 3])
        // And the index at the end, so that the segment itself is read.
        let length = try #require(bench.disk.contents("/q/journal/00000001.log")).readableBytes
        bench.disk.corrupt("/q/journal/00000001.log", at: length - 3, with: [1, 2, 3])
        let observer = RecordingObserver()
        spool = try bench.open(observer)
        #expect(observer.damages.count == 1)
        #expect(try spool.status().damages == observer.damages)
        let left = try spool.list().map(\.id)
        // The envelope is still there; the message waits for someone to look at it.
        #expect(left == ids + [large])
        #expect(try spool.list().filter { $0.state == .hold }.map(\.id) == [ids[1]])
        spool.start(agent: agent)
        for id in left where id != ids[1] { #expect(try spool.perform(.delete, on: .message(id)) == 1) }
        #expect(try spool.status().segments >= 3)
        #expect(bench.disk.contents("/q/journal/00000001.log") != nil)
        #expect(bench.disk.contents("/q/content/\(large)") != nil)
        // Once the damaged message has been given up, space is given back.
        #expect(try spool.perform(.delete, on: .message(ids[1])) == 1)
        #expect(try spool.status().damages.isEmpty)
        _ = try bench.accept(spool)
        spool.turn()
        #expect(bench.disk.contents("/q/journal/00000001.log") == nil)
        // New ids keep away from any that the lost record may have spoken of.
        #expect(try spool.reserveQueueID() > large)
    }

    @Test(arguments: [3_000, 100_000]) func rottenContentIsHeldAndNeverDelivered(size: Int) throws {
        var bench = Bench()
        bench.options.memoryLimit = 0
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let (id, _) = try bench.accept(spool, size: size)
        let path = size > 65_536 ? "/q/content/\(id)" : "/q/journal/00000001.log"
        bench.disk.corrupt(path, at: 2_000, with: [0])
        let (listing, stored) = try spool.message(id)
        #expect(listing.size == size)
        #expect(throws: SpoolError.self) { try read(stored) }
        #expect(throws: SpoolError.self) { try stored.read(offset: 100, length: 10) }
        // The relay finds it out, too late to hold the message back; the attempt's report does not bring it back into the line.
        let agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        let job = try #require(agent.take())
        #expect(throws: SpoolError.self) { try read(job.content) }
        spool.record(DeliveryReport(id: id, outcomes: [.deferred("unreadable"), .deferred("unreadable")]))
        spool.turn()
        #expect(observer.damages.count == 1)
        #expect(try spool.list().map(\.state) == [.hold])
        bench.clock.advance(10_000)
        spool.turn()
        #expect(agent.jobs.isEmpty)
        #expect(try !spool.status().damages.isEmpty)
    }

    @Test func rottenEnvelopeIsHeldAndReported() throws {
        var bench = Bench()
        bench.options.memoryLimit = 0
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let (id, _) = try bench.accept(spool)
        let (other, _) = try bench.accept(spool)
        // Segment header 104, lease batch 48 + 32, batch header 48, record header 32: the head of the first message.
        bench.disk.corrupt("/q/journal/00000001.log", at: 104 + 48 + 32 + 48 + 32 + 30, with: [0xFF, 0xFE])
        let agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        spool.turn()
        #expect(agent.jobs.map(\.id) == [other])
        #expect(observer.damages.count == 1)
        #expect(try spool.list().map(\.state) == [.hold, .active])
        #expect(try spool.list().first?.id == id)
    }

    @Test func deadDiskStopsAcceptingAndComesBack() throws {
        let bench = Bench()
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (first, _) = try bench.accept(spool)
        _ = agent.take()
        spool.record(DeliveryReport(id: first, outcomes: [.delivered, .deferred("later")]))
        // The batch, and the segment that should void it.
        bench.disk.failFlush(after: 0)
        bench.disk.failFlush(after: 1)
        let (_, refused) = try bench.accept(spool)
        #expect(refused.error != nil && observer.hasStopped)
        #expect(try !spool.status().isAccepting)
        #expect(try bench.accept(spool).1.error != nil)
        bench.clock.advance(6)
        let (second, receipt) = try bench.accept(spool)
        #expect(receipt.isSuccess)
        #expect(observer.events.contains { if case .acceptingResumed = $0 { true } else { false } })
        bench.disk.powerCut()
        let listed = try bench.open().list()
        #expect(listed.map(\.id) == [first, second])
        // The report that could not be written at first was not lost.
        #expect(listed.first?.recipients == [.init(address: address("b@example.org"), delayReason: "later")])
    }

    @Test func manyRestartsDoNotLeaveManySegments() throws {
        let bench = Bench()
        for _ in 0..<60 {
            let spool = try bench.open()
            _ = try bench.accept(spool)
            spool.turn()
            bench.disk.processCrash()
        }
        let spool = try bench.open()
        spool.turn()
        #expect(try spool.list().count == 60)
        #expect(try spool.status().segments < 45)
    }

    /// Whichever segment it is, nothing is written, and nothing removed.
    @Test(arguments: 1...3) func newerFormatIsRefused(segment: Int) throws {
        let bench = Bench()
        for _ in 0..<3 {
            _ = try bench.accept(try bench.open(), size: 100_000)
            bench.disk.processCrash()
        }
        // A file that no record speaks of.
        _ = try bench.disk.create("/q/content/6AFD86FFFF")
        bench.disk.corrupt("/q/journal/0000000\(segment).log", at: 8, with: [3])
        let names = { ["/q/journal", "/q/content"].map { bench.disk.names(in: $0) } }
        let before = (names(), try #require(bench.disk.contents("/q/journal/00000003.log")))
        bench.disk.failWrite(after: 0)
        #expect(throws: SpoolError.unsupportedFormat("/q/journal has format 3, this is 2")) { try bench.open() }
        #expect(names() == before.0 && bench.disk.contents("/q/journal/00000003.log") == before.1)
        bench.disk.processCrash()
        bench.disk.corrupt("/q/journal/0000000\(segment).log", at: 8, with: [2])
        #expect(try bench.open().list().count == 3)
    }

    /// A flush of `content/` fails once. The next one says nothing of names that were there before, whosever they are.
    @Test func aFailedFlushOfTheDirectoryIsFinalForItsNames() throws {
        let bench = Bench()
        let spool = try bench.open()
        _ = try bench.accept(spool)
        let waiting = try spool.reserveQueueID()
        let writer = spool.beginLarge(waiting)
        writer.append(content(waiting, 100_000)) { _ in }
        // The content's own flush is the first one.
        bench.disk.failFlush(after: 1)
        let (_, refused) = try bench.accept(spool, size: 100_000)
        #expect(refused.error != nil)
        let receipt = RecordingReceipt()
        writer.commit(envelope(to: ["a@example.org"]), arrival: bench.clock.wallTime(), receipt: receipt)
        spool.turn()
        #expect(receipt.error != nil)
        let (after, accepted) = try bench.accept(spool, size: 100_000)
        #expect(accepted.isSuccess)
        bench.disk.powerCut()
        let again = try bench.open()
        #expect(try again.list().map(\.id).last == after && again.list().count == 2)
        #expect(try read(again.message(after).content) == content(after, 100_000))
    }

    /// The administrator removes a message that is being delivered: the relay can read it to the end, its report changes nothing any more, and
    /// the place among the active is free again only then.
    @Test(arguments: [100, 100_000], [false, true]) func deletedWhileBeingDelivered(size: Int, reportIsLost: Bool) throws {
        var bench = Bench()
        bench.options.memoryLimit = 0
        bench.options.messageActiveLimit = 1
        let observer = RecordingObserver()
        var spool = try bench.open(observer)
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool, size: size)
        let (next, _) = try bench.accept(spool)
        let job = try #require(agent.take())
        #expect(try spool.perform(.delete, on: .message(id)) == 1)
        #expect(throws: SpoolError.unknownQueueID(id)) { try spool.perform(.delete, on: .message(id)) }
        #expect(observer.removed == [id])
        while spool.turn() {}
        #expect(try spool.list().map(\.id) == [next] && agent.jobs.isEmpty)
        #expect(try read(job.content) == content(id, size))
        if !reportIsLost {
            spool.record(DeliveryReport(id: id, outcomes: [.delivered, .deferred("x")]))
            bench.clock.advance(1)
            while spool.turn() {}
            #expect(agent.jobs.map(\.id) == [next])
            #expect(bench.disk.names(in: "/q/content") == [])
        }
        bench.disk.powerCut()
        spool = try bench.open()
        #expect(try spool.list().map(\.id) == [next] && spool.status().damages == [])
        #expect(bench.disk.names(in: "/q/content") == [])
    }

    /// An outcome waits for company, but no longer than leaves room for the flush within the 100 ms that are promised.
    @Test func anOutcomeDoesNotWaitForLong() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        while spool.turn() {}
        #expect(spool.core.waitingTime() > 1)
        #expect(agent.take()?.id == id)
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .delivered]))
        let wait = spool.core.waitingTime()
        #expect(wait > 0 && wait <= 0.08)
        bench.clock.advance(wait / 2)
        #expect(spool.core.waitingTime() > 0)
        bench.clock.advance(wait / 2 + 0.001)
        #expect(spool.core.waitingTime() == 0)
        // Mail that comes takes it along.
        _ = try bench.accept(spool)
        #expect(try spool.list().map(\.id) != [id] && !spool.list().contains { $0.id == id })
    }

    @Test func strayAndShortReportsDoNoHarm() throws {
        let bench = Bench()
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        spool.record(DeliveryReport(id: QueueID(rawValue: 1), outcomes: [.delivered]))
        spool.record(DeliveryReport(id: id, outcomes: [.delivered]))
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .delivered]))
        spool.turn()
        #expect(observer.events.filter { if case .strayReport = $0 { true } else { false } }.count == 2)
        #expect(try spool.list().first?.recipients.map(\.address) == [address("b@example.org")])
    }

    /// The first segment's name cannot be flushed, and the file cannot be removed either; its successors come and go.
    @Test(arguments: 0..<8) func aSegmentThatCameToNothingIsNoGap(place: Int) throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        bench.disk.failFlush(after: 1)
        bench.disk.failOther(after: place)
        _ = try? bench.accept(spool)
        spool.start(agent: agent)
        for _ in 0..<20 {
            bench.clock.advance(6)
            _ = try? bench.accept(spool, size: 4_000)
            while let job = agent.take() {
                spool.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in .delivered }))
            }
        }
        spool.turn()
        bench.disk.processCrash()
        #expect(try bench.open().status().damages == [])
    }

    @Test func aCleanEndIsNotTakenForThatOfTheNextProcess() throws {
        let bench = Bench()
        var spool = try bench.open()
        let (id, _) = try bench.accept(spool)
        spool.close()
        spool = try bench.open()
        var agent = RecordingAgent()
        // Nothing can be written at first, so nothing says that this process has begun.
        for flush in 0..<2 { bench.disk.failFlush(after: flush) }
        spool.start(agent: agent)
        spool.turn()
        #expect(agent.jobs.isEmpty)
        bench.clock.advance(6)
        spool.turn()
        #expect(agent.jobs.map(\.id) == [id])
        #expect(agent.jobs.first?.mayBeDuplicate == false)
        bench.disk.processCrash()
        spool = try bench.open()
        agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        #expect(agent.jobs.first?.mayBeDuplicate == true)
    }

    enum Early: CaseIterable { case flush, clockSetBack, clockSetBackAfterwards }

    /// A message that was tried before the time in its record may be a duplicate after a crash like any other.
    @Test(arguments: Early.allCases, [false, true]) func anAttemptBeforeItsTimeIsRemembered(why: Early, isCopied: Bool) throws {
        let bench = Bench()
        var spool = try bench.open()
        var agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        _ = agent.take()
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .deferred("later")]))
        spool.turn()
        switch why {
        case .flush: #expect(try spool.perform(.flush, on: .all) == 1)
        case .clockSetBack:
            bench.clock.step(-100_000)
            bench.clock.advance(spool.core.options.maximalBackoff + 20)
        case .clockSetBackAfterwards:
            bench.clock.advance(spool.core.options.maximalBackoff + 20)
        }
        spool.turn()
        #expect(agent.jobs.map(\.id) == [id])
        // Whatever the journal said of it, the copy says as well.
        if isCopied { for _ in 0..<40 { _ = try? spool.perform(.delete, on: .message(try bench.accept(spool, size: 3_000).0)) } }
        if why == .clockSetBackAfterwards {
            _ = try bench.accept(spool)
            bench.clock.step(-100_000)
        }
        bench.disk.processCrash()
        spool = try bench.open()
        agent = RecordingAgent()
        spool.start(agent: agent)
        bench.clock.advance(spool.core.options.maximalBackoff + 20)
        spool.turn()
        let job = try #require(agent.jobs.first { $0.id == id })
        #expect(job.mayBeDuplicate)
    }
}
