import NIOCore
import PosternTesting
import SMTPCore
import Spool
import Synchronization
import Testing

/// One spool on a simulated disk, with the clock in hand.
struct Bench {
    let disk = SimulatedDisk(seed: 1)
    let clock = SimulatedDiskClock()
    var options = SpoolOptions()

    init() {
        options.isManual = true
        options.queueRunDelay = 10
        options.segmentSize = 20_000
        options.reserveSize = 0
    }

    func open(_ observer: RecordingObserver = RecordingObserver()) throws -> Spool {
        try Spool.open(directory: "/q", options: options, fileSystem: disk, clock: clock, observer: observer)
    }

    func accept(
        _ spool: Spool,
        size: Int = 100,
        to recipients: [String] = ["a@example.org", "b@example.org"],
        from: String = "s@example.com"
    ) throws
        -> (QueueID, RecordingReceipt)
    {
        let id = try spool.reserveQueueID()
        let receipt = RecordingReceipt()
        spool.accept(
            IncomingMessage(id: id, envelope: envelope(from: from, to: recipients), content: content(id, size), arrival: clock.wallTime()),
            receipt: receipt
        )
        spool.turn()
        return (id, receipt)
    }
}

@Suite struct SpoolTests {
    @Test(arguments: [0, 100, 65_536, 65_537, 300_000]) func acceptedMessageSurvivesPowerCut(size: Int) throws {
        let bench = Bench()
        let spool = try bench.open()
        let (id, receipt) = try bench.accept(spool, size: size)
        #expect(receipt.isSuccess)
        bench.disk.powerCut()
        let again = try bench.open()
        let (listing, stored) = try again.message(id)
        #expect(listing.recipients.map(\.address) == [address("a@example.org"), address("b@example.org")])
        #expect(listing.size == size)
        #expect(try read(stored) == content(id, size))
    }

    @Test func queueIDsHaveTenDigitsAndNeverRepeat() throws {
        let bench = Bench()
        var last: UInt64 = 0
        for _ in 0..<5 {
            let spool = try bench.open()
            let range = try spool.reserveQueueIDs(10)
            #expect(range.lowerBound > last && range.count == 10)
            #expect(QueueID(rawValue: range.lowerBound).description.utf8.count == 10)
            last = range.upperBound - 1
            bench.clock.step(-10_000_000)
            bench.disk.powerCut()
        }
    }

    @Test func secondOpenIsRefused() throws {
        let bench = Bench()
        let spool = try bench.open()
        #expect(throws: SpoolError.alreadyOpen("/q/journal/LOCK")) { try bench.open() }
        spool.close()
        _ = try bench.open()
    }

    @Test func deliveryRemovesTheMessageForGood() throws {
        let bench = Bench()
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        let job = try #require(agent.take())
        #expect(job.id == id && job.content.inMemory == content(id, 100) && !job.mayBeDuplicate && !job.isExpired)
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .bounced("no")]))
        spool.turn()
        #expect(observer.removed == [id])
        bench.disk.powerCut()
        #expect(try bench.open().list().isEmpty)
    }

    @Test func deferredRecipientIsTriedAgainAlone() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool, size: 5_000)
        _ = agent.take()
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .deferred("greylisted")]))
        spool.turn()
        let listing = try #require(try spool.list().first)
        #expect(listing.state == .deferred && listing.attempts == 1)
        #expect(listing.recipients == [.init(address: address("b@example.org"), delayReason: "greylisted")])
        bench.clock.advance(299)
        spool.turn()
        #expect(agent.jobs.isEmpty)
        bench.clock.advance(12)
        spool.turn()
        let job = try #require(agent.take())
        #expect(job.attempts == 1 && job.envelope.recipients.map(\.address) == [address("b@example.org")])
        #expect(try read(job.content) == content(id, 5_000))
        spool.record(DeliveryReport(id: id, outcomes: [.delivered]))
        spool.turn()
        #expect(try spool.list().isEmpty)
    }

    @Test func bounceIsQueuedWithItsOutcome() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (id, _) = try bench.accept(spool)
        let bounceID = try spool.reserveQueueID()
        let bounce = GeneratedMessage(id: bounceID, envelope: envelope(from: "", to: ["s@example.com"]), content: content(bounceID, 900))
        spool.record(DeliveryReport(id: id, outcomes: [.bounced("no"), .delivered], bounces: [bounce]))
        _ = agent.take()
        spool.turn()
        let job = try #require(agent.take())
        #expect(job.id == bounceID && job.envelope.sender.isNull)
        bench.disk.powerCut()
        let again = try bench.open()
        #expect(try again.list().map(\.id) == [bounceID])
        #expect(try read(again.message(bounceID).content) == content(bounceID, 900))
        let second = RecordingAgent()
        again.start(agent: second)
        again.turn()
        #expect(second.take()?.mayBeDuplicate == true)
    }

    /// In one batch: after a power cut at any operation, all of the reports are there and the message is gone, or the other way round.
    @Test func severalBouncesAreQueuedWithTheirOutcomeOrNotAtAll() throws {
        var seen: Set<Int> = []
        for step in 0...8 {
            let bench = Bench()
            let spool = try bench.open()
            let agent = RecordingAgent()
            spool.start(agent: agent)
            let (id, _) = try bench.accept(spool)
            _ = agent.take()
            let bounces = try (0..<3).map { _ in
                let id = try spool.reserveQueueID()
                return GeneratedMessage(id: id, envelope: envelope(from: "", to: ["s@example.com"]), content: content(id, 900))
            }
            spool.record(DeliveryReport(id: id, outcomes: [.bounced("no"), .delivered], bounces: bounces))
            bench.disk.stop(afterSteps: step)
            spool.turn()
            bench.disk.powerCut()
            let again = try bench.open()
            let left = try again.list().map(\.id)
            #expect(left == [id] || left == bounces.map(\.id), "stopped after \(step)")
            seen.insert(left.count)
            for left in left { #expect(try read(again.message(left).content) == content(left, left == id ? 100 : 900)) }
        }
        #expect(seen == [1, 3])
    }

    /// Content of messages that are arriving: so many files at the same time, and so much of the disk left free; what is refused leaves nothing.
    @Test(arguments: [true, false]) func arrivingContentIsBounded(byFiles: Bool) throws {
        var bench = Bench()
        if byFiles { bench.options.openContentLimit = 3 } else { bench.options.contentMinFree = 5_000_000 }
        let spool = try bench.open()
        if !byFiles { bench.disk.capacity = bench.disk.used + 8_000_000 }
        let refused = Atomic<Int>(0)
        let writers = try (0..<4).map { _ in spool.beginLarge(try spool.reserveQueueID()) }
        for _ in 0..<20 {
            for writer in writers {
                writer.append(ByteBuffer(repeating: 0x61, count: 50_000)) {
                    if case .failure(.insufficientStorage) = $0 { refused.add(1, ordering: .relaxed) }
                }
            }
        }
        // By files, three of them have a megabyte each, and the fourth has nothing; of three megabytes of disk two whole ones are used.
        let whole = byFiles ? 3 : 2
        #expect(refused.load(ordering: .relaxed) > 0 && bench.disk.names(in: "/q/content").count == whole)
        let receipts = writers.map { writer in
            let receipt = RecordingReceipt()
            writer.commit(envelope(from: "s@example.com", to: ["a@example.org"]), arrival: 0, receipt: receipt)
            return receipt
        }
        spool.turn()
        #expect(receipts.filter(\.isSuccess).count == whole)
        // There is room again: for files, and on a disk that is larger.
        bench.disk.capacity = 1 << 30
        let another = spool.beginLarge(try spool.reserveQueueID())
        let receipt = RecordingReceipt()
        another.append(ByteBuffer(repeating: 0x61, count: 50_000)) { _ in }
        another.commit(envelope(from: "s@example.com", to: ["a@example.org"]), arrival: 0, receipt: receipt)
        spool.turn()
        #expect(receipt.isSuccess && bench.disk.names(in: "/q/content").count == whole + 1)
    }

    @Test func newMessageIsDueWhateverTheClockSays() throws {
        let bench = Bench()
        let spool = try bench.open()
        let (id, _) = try bench.accept(spool)
        bench.disk.powerCut()
        bench.clock.step(-86_400)
        let again = try bench.open()
        let agent = RecordingAgent()
        again.start(agent: agent)
        again.turn()
        #expect(agent.jobs.map(\.id) == [id])
        #expect(try !again.status().clockIsTrusted)
    }

    @Test func cleanEndLeavesNoDoubt() throws {
        let bench = Bench()
        let spool = try bench.open()
        let (id, _) = try bench.accept(spool)
        spool.close()
        let again = try bench.open()
        let agent = RecordingAgent()
        again.start(agent: agent)
        again.turn()
        let job = try #require(agent.take())
        #expect(job.id == id && !job.mayBeDuplicate)
    }

    @Test func expiryNeedsATrustedClock() throws {
        let bench = Bench()
        for jump in [false, true] {
            let spool = try bench.open()
            let agent = RecordingAgent()
            let (id, _) = try bench.accept(spool)
            if jump { bench.clock.step(6 * 86_400) } else { bench.clock.advance(6 * 86_400) }
            spool.turn()
            spool.start(agent: agent)
            spool.turn()
            let job = try #require(agent.jobs.first { $0.id == id })
            #expect(job.isExpired == !jump)
            #expect(try spool.status().clockIsTrusted == !jump)
            bench.disk.processCrash()
        }
    }

    /// After a jump nothing expires for one lifetime, in this process or the next; after that, what is old is old.
    @Test(arguments: [6 * 86_400.0, -86_400], [false, true]) func expiryComesBackAfterAJump(step: Double, restart: Bool) throws {
        let bench = Bench()
        var spool = try bench.open()
        let (id, _) = try bench.accept(spool)
        spool.turn()
        bench.clock.step(step)
        spool.turn()
        #expect(try !spool.status().clockIsTrusted)
        func attempt() throws -> Bool {
            if restart {
                bench.disk.powerCut()
                spool = try bench.open()
            }
            let agent = RecordingAgent()
            spool.start(agent: agent)
            spool.turn()
            _ = try spool.perform(.flush, on: .all)
            spool.turn()
            let job = try #require(agent.jobs.first { $0.id == id })
            spool.record(DeliveryReport(id: id, outcomes: [.deferred("x"), .deferred("y")]))
            spool.turn()
            return job.isExpired
        }
        #expect(try !attempt())
        bench.clock.advance(4.9 * 86_400)
        #expect(try !attempt())
        bench.clock.advance(0.2 * 86_400)
        #expect(try attempt() == (step > 0))
        bench.clock.advance(86_400)
        #expect(try attempt())
        #expect(try spool.status().clockIsTrusted)
    }

    @Test func holdReleaseFlushDelete() throws {
        let bench = Bench()
        let spool = try bench.open()
        let (first, _) = try bench.accept(spool)
        let (second, _) = try bench.accept(spool, size: 100_000)
        #expect(try spool.perform(.hold, on: .all) == 2)
        #expect(try spool.perform(.hold, on: .all) == 0)
        bench.disk.powerCut()
        let again = try bench.open()
        #expect(try again.list().map(\.state) == [.hold, .hold])
        let agent = RecordingAgent()
        again.start(agent: agent)
        again.turn()
        #expect(agent.jobs.isEmpty)
        #expect(try again.perform(.release, on: .message(first)) == 1)
        #expect(agent.jobs.map(\.id) == [first])
        again.record(DeliveryReport(id: first, outcomes: [.deferred("x"), .deferred("y")]))
        again.turn()
        _ = agent.take()
        #expect(try again.perform(.flush, on: .all) == 1)
        #expect(agent.jobs.map(\.id) == [first])
        #expect(try again.perform(.delete, on: .message(second)) == 1)
        #expect(throws: SpoolError.unknownQueueID(second)) { try again.perform(.delete, on: .message(second)) }
        #expect(bench.disk.contents("/q/content/\(second)") == nil)
        #expect(try again.list().map(\.id) == [first])
        // Removed while in delivery: the report changes nothing any more.
        #expect(try again.perform(.delete, on: .all) == 1)
        again.record(DeliveryReport(id: first, outcomes: [.deferred("x"), .deferred("y")]))
        again.turn()
        #expect(try again.list().isEmpty && again.status().active == 0)
    }

    /// ETRN: by recipients that are still to be served, page by page; what is held or not due is left out only where it must be.
    @Test func deferredMessagesAreFoundByDomain() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (both, _) = try bench.accept(spool, to: ["a@One.example", "b@two.example"])
        let (other, _) = try bench.accept(spool, to: ["a@two.example", "b@sub.one.example"])
        let (held, _) = try bench.accept(spool, to: ["a@one.example"])
        let (large, _) = try bench.accept(spool, size: 100_000, to: ["a@one.example"])
        for id in [both, other] { spool.record(DeliveryReport(id: id, outcomes: [.deferred("x"), .deferred("y")])) }
        for id in [held, large] { spool.record(DeliveryReport(id: id, outcomes: [.deferred("x")])) }
        spool.turn()
        #expect(try spool.perform(.hold, on: .message(held)) == 1)
        while agent.take() != nil {}
        var found: [QueueID] = []
        var last: QueueID?
        repeat {
            let page = spool.deferred(withRecipientsIn: ["one.example", "unknown.example"], after: last, limit: 1)
            found += page.ids
            last = page.last
        } while last != nil
        #expect(found == [both, large])
        #expect(try spool.flush(found + [QueueID(rawValue: 1)]) == 2)
        #expect(Set(agent.jobs.map(\.id)) == [both, large])
        // In delivery: nothing to be tried.
        #expect(spool.deferred(withRecipientsIn: ["one.example"], after: nil, limit: 100).ids.isEmpty)
        spool.record(DeliveryReport(id: both, outcomes: [.delivered, .deferred("y")]))
        spool.turn()
        // The recipient of that domain has been served.
        #expect(spool.deferred(withRecipientsIn: ["one.example"], after: nil, limit: 100).ids.isEmpty)
        #expect(spool.deferred(withRecipientsIn: ["two.example"], after: nil, limit: 100).ids == [both, other])
    }

    @Test func oldSegmentsGoAndWhatLivesIsCopiedForward() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let (held, _) = try bench.accept(spool, size: 3_000)
        #expect(try spool.perform(.hold, on: .message(held)) == 1)
        spool.record(DeliveryReport(id: held, outcomes: [.delivered, .deferred("later")]))
        spool.turn()
        _ = agent.take()
        for _ in 0..<100 {
            let (id, receipt) = try bench.accept(spool, size: 4_000)
            #expect(receipt.isSuccess)
            _ = agent.take()
            spool.record(DeliveryReport(id: id, outcomes: [.delivered, .delivered]))
            spool.turn()
        }
        #expect(try spool.status().journalBytes < 100_000)
        bench.disk.powerCut()
        let (listing, stored) = try bench.open().message(held)
        #expect(listing.state == .hold && listing.attempts == 1)
        #expect(listing.recipients == [.init(address: address("b@example.org"), delayReason: "later")])
        #expect(try read(stored) == content(held, 3_000))
    }

    @Test func failedFlushRefusesOnceAndForAll() throws {
        let bench = Bench()
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        let (first, _) = try bench.accept(spool)
        bench.disk.failFlush(after: 0)
        let (second, receipt) = try bench.accept(spool)
        #expect(receipt.error == .writeFailed("fdatasync /q/journal/00000001.log: Input/output error"))
        let (third, good) = try bench.accept(spool)
        #expect(good.isSuccess && third > second)
        for isPowerCut in [false, true] {
            if isPowerCut { bench.disk.powerCut() } else { bench.disk.processCrash() }
            let again = try bench.open()
            #expect(try again.list().map(\.id) == [first, third])
            #expect(try again.status().damages.isEmpty)
        }
    }

    /// What space there is belongs to outcomes and bounces, not to the copies of a compaction.
    @Test func nothingIsCopiedForwardWhileTheDiskIsFull() throws {
        var bench = Bench()
        let spool = try bench.open()
        bench.options.queueMinFree = 0
        var kept: [QueueID] = []
        var gone: [QueueID] = []
        for number in 0..<40 {
            let (id, _) = try bench.accept(spool, size: 3_000)
            if number % 5 == 0 { kept.append(id) } else { gone.append(id) }
        }
        bench.disk.processCrash()
        bench.options.queueMinFree = 1 << 20
        bench.disk.capacity = 175_000
        let again = try bench.open()
        again.turn()
        #expect(again.storageIsShort)
        let before = bench.disk.contents("/q/journal/00000001.log")
        for id in gone { #expect(try again.perform(.delete, on: .message(id)) == 1) }
        bench.clock.advance(2)
        for _ in 0..<10 { again.turn() }
        #expect(bench.disk.contents("/q/journal/00000001.log") == before)
        bench.disk.capacity = 1 << 30
        bench.clock.advance(2)
        for _ in 0..<10 { again.turn() }
        #expect(bench.disk.contents("/q/journal/00000001.log") == nil)
        #expect(try again.list().map(\.id) == kept)
    }

    @Test func fullDiskTakesOutcomesAndNoMail() throws {
        var bench = Bench()
        bench.options.reserveSize = 64_000
        bench.options.segmentSize = 1 << 20
        bench.disk.capacity = 400_000
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        var refused: RecordingReceipt?
        for _ in 0..<200 where refused == nil {
            let (_, receipt) = try bench.accept(spool, size: 3_000)
            if !receipt.isSuccess { refused = receipt }
            bench.clock.advance(0.01)
        }
        #expect(refused?.error == .insufficientStorage)
        #expect(spool.storageIsShort)
        let jobs = agent.jobs
        #expect(jobs.count > 20)
        for job in jobs { spool.record(DeliveryReport(id: job.id, outcomes: [.delivered, .delivered])) }
        spool.turn()
        #expect(try spool.list().isEmpty)
        for _ in 0..<5 {
            bench.clock.advance(2)
            spool.turn()
        }
        #expect(!spool.storageIsShort)
        #expect(try bench.accept(spool).1.isSuccess)
    }
}
