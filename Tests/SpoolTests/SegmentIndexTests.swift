import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// Sealed segments end with an index: a start reads that, and the segment itself only where it must.
@Suite struct SegmentIndexTests {
    /// Forty messages over several segments, one of each kind of record among them; then the machine stops.
    private func filled(_ bench: Bench) throws -> [QueueListing] {
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        for number in 0..<40 {
            let (id, _) = try bench.accept(spool, size: number == 7 ? 80_000 : 2_500, from: number == 8 ? "" : "s@example.com")
            _ = agent.take()
            switch number % 8 {
            case 0: #expect(try spool.perform(.hold, on: .message(id)) == 1)
            case 1: #expect(try spool.perform(.delete, on: .message(id)) == 1)
            case 2: spool.record(DeliveryReport(id: id, outcomes: [.delivered, .deferred("later")]))
            case 3:
                let bounce = GeneratedMessage(
                    id: try spool.reserveQueueID(),
                    envelope: envelope(from: "", to: ["s@example.com"]),
                    content: content(id, 700)
                )
                spool.record(DeliveryReport(id: id, outcomes: [.bounced("no"), .delivered], bounces: [bounce]))
            case 4: spool.record(DeliveryReport(id: id, outcomes: [.delivered, .delivered]))
            default: break
            }
            spool.turn()
            if agent.jobs.count > 1 { _ = agent.take() }
        }
        let listed = try spool.list()
        #expect(listed.count > 25)
        #expect(try spool.status().segments > 4)
        bench.disk.powerCut()
        return listed
    }

    private func comparable(_ listings: [QueueListing]) -> [QueueListing] {
        listings.map { listing in
            var listing = listing
            if listing.state != .hold { listing.state = .deferred }
            listing.nextAttempt = 0
            return listing
        }
    }

    @Test func theIndexTellsTheSameAsTheSegment() throws {
        let bench = Bench()
        let listed = comparable(try filled(bench))
        let byIndex = RecordingObserver()
        #expect(comparable(try bench.open(byIndex).list()) == listed)
        #expect(byIndex.events.allSatisfy { if case .interrupted = $0 { true } else { false } })
        bench.disk.powerCut()
        // The last bytes of a sealed segment are its index.
        for number in 1...3 {
            let path = "/q/journal/0000000\(number).log"
            let length = try #require(bench.disk.contents(path)).readableBytes
            bench.disk.corrupt(path, at: length - 3, with: [0xAA, 0xBB, 0xCC])
        }
        let byScan = RecordingObserver()
        let spool = try bench.open(byScan)
        #expect(comparable(try spool.list()) == listed)
        #expect(byScan.events.filter { if case .housekeepingFailed = $0 { true } else { false } }.count == 3)
        #expect(try spool.status().damages.isEmpty)
    }

    @Test func aStartReadsNoContentOfSealedSegments() throws {
        let bench = Bench()
        let listed = try filled(bench)
        let victim = try #require(listed.first { $0.state != .hold })
        let (bytes, text) = (try #require(bench.disk.contents("/q/journal/00000001.log")), "of message \(victim.id)")
        let place = try #require((0..<bytes.readableBytes).first { bytes.getString(at: $0, length: text.utf8.count) == text })
        bench.disk.corrupt("/q/journal/00000001.log", at: place + 20, with: [0])
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        // Nothing has been noticed, as nothing has been read.
        #expect(observer.damages.isEmpty)
        #expect(throws: SpoolError.self) { try read(spool.message(victim.id).content) }
    }

    @Test func aSpoolOfTheFirstFormatOpens() throws {
        let bench = Bench()
        let (bytes, _) = FormatTests.segment([FormatTests.facts.dropLast()].map(Array.init), header: FormatTests.headerOfVersion1)
        let file = try bench.disk.create("/q/journal/00000001.log")
        try file.write([bytes], at: 0)
        try file.sync()
        try bench.disk.syncDirectory("/q/journal")
        let observer = RecordingObserver()
        let spool = try bench.open(observer)
        #expect(observer.damages == [])
        // Of the facts, message 70 was delivered and its bounce 71 removed.
        #expect(try spool.list().isEmpty)
        #expect(try spool.reserveQueueID().rawValue >= 5_000)
        let (id, receipt) = try bench.accept(spool)
        #expect(receipt.isSuccess)
        bench.disk.powerCut()
        #expect(try bench.open().list().map(\.id) == [id])
    }

    @Test func tableKeepsOrderUnderRandomWork() {
        var random = SeededRandom(seed: 3)
        var table = QueueTable()
        var model: [UInt64: UInt32] = [:]
        func entry(_ attempts: UInt32) -> QueueEntry {
            let message = IndexFact.Message(
                generation: 0,
                attempts: attempts,
                size: 1,
                arrival: 0,
                nextAttempt: 0,
                isHeld: false,
                isInFile: false,
                senderIsNull: false
            )
            return QueueEntry(message, at: RecordLocation(segment: 1, offset: 1, headLength: 1, bodyLength: 1))
        }
        for step in 0..<30_000 {
            let isGrowing = step / 6_000 % 2 == 0
            let key = UInt64(step / 4) + UInt64.random(in: 0..<2_000, using: &random)
            if UInt64.random(in: 0..<10, using: &random) < (isGrowing ? 8 : 2) {
                model[key] = UInt32(step)
                table.set(QueueID(rawValue: key), entry(UInt32(step)))
            } else if let victim = isGrowing ? key : model.keys.min() {
                #expect(table.remove(QueueID(rawValue: victim))?.attempts == model.removeValue(forKey: victim))
            }
            #expect(table[QueueID(rawValue: key)]?.attempts == model[key])
        }
        #expect(table.count == model.count)
        #expect(table.ids { _, _ in true }.map(\.rawValue) == model.keys.sorted())
        let middle = model.keys.sorted()[model.count / 2]
        #expect(
            table.ids(after: QueueID(rawValue: middle), limit: 7).map(\.rawValue)
                == Array(model.keys.sorted().filter { $0 > middle }.prefix(7))
        )
        #expect(table.ids(after: nil, limit: 3).count == 3 && table.ids(after: QueueID(rawValue: .max), limit: 3).isEmpty)
    }
}
