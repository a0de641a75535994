import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// Damage that the administrator knows of is no problem any more; other damage is.
@Suite struct AcknowledgementTests {
    private static let first = "/q/journal/00000001.log"

    /// Eight small messages and a large one; content of one that is small has rotted, and the index of its segment, so that a start sees it.
    private func damaged(_ bench: Bench) throws -> (ids: [QueueID], large: QueueID) {
        let spool = try bench.open()
        var ids: [QueueID] = []
        for _ in 0..<8 { ids.append(try bench.accept(spool, size: 3_000).0) }
        let (large, _) = try bench.accept(spool, size: 150_000)
        bench.disk.processCrash()
        try rot(bench, "of message \(ids[1])", in: Self.first, at: 40)
        let length = try #require(bench.disk.contents(Self.first)).readableBytes
        bench.disk.corrupt(Self.first, at: length - 3, with: [1, 2, 3])
        return (ids, large)
    }

    private func rot(_ bench: Bench, _ text: String, in path: String, at distance: Int) throws {
        let bytes = try #require(bench.disk.contents(path))
        let place = try #require((0..<bytes.readableBytes).first { bytes.getString(at: $0, length: text.utf8.count) == text })
        bench.disk.corrupt(path, at: place + distance, with: [0])
    }

    @Test func whatIsKnownIsNoProblemAndWhatIsNewIs() throws {
        let bench = Bench()
        let (ids, large) = try damaged(bench)
        var observer = RecordingObserver()
        var spool = try bench.open(observer)
        #expect(try spool.status().damages.count == 1 && observer.damages.count == 1)
        let found = spool.verify()
        #expect(!found.isSound && found.damages.map(\.id) == [ids[1]])
        bench.clock.advance(100)
        let report = try spool.acknowledgeDamage()
        #expect(report.isSound && report.damages.map(\.place) == found.damages.map(\.place))
        #expect(report.damages.map(\.acknowledged) == [bench.clock.wallTime()])
        #expect(observer.events.filter { if case .damageAcknowledged = $0 { true } else { false } }.count == 1)
        for start in 0..<3 {
            #expect(try spool.status().damages == [] && spool.status().acknowledgedDamages == 1)
            #expect(spool.verify().isSound && spool.verify().damages.count == 1)
            // It is as it was: on hold, in the list, to be exported.
            #expect(try spool.list().first { $0.state == .hold }?.id == ids[1])
            #expect(try spool.export(ids[1]).damages.count == 1 && read(spool.export(ids[1]).content).readableBytes == 3_000)
            // Even after a power cut.
            if start == 0 { bench.disk.powerCut() } else { spool.close() }
            observer = RecordingObserver()
            spool = try bench.open(observer)
            #expect(observer.damages == [])
        }
        let text = QueueReport.text(spool.verify()) { _ in 0 }
        #expect(text.hasPrefix("damage (acknowledged ") && text.hasSuffix("bytes read: 1 damaged, all acknowledged\n"))
        #expect(QueueReport.json(spool.verify()).contains("\"acknowledged\": \(Int(report.damages[0].acknowledged ?? 0))}"))

        // New damage to another message of the same segment, and to another block of a file.
        try rot(bench, "of message \(ids[0])", in: Self.first, at: 40)
        bench.disk.corrupt("/q/content/\(large)", at: 70_000, with: [0])
        let now = spool.verify()
        #expect(!now.isSound && now.damages.filter { $0.acknowledged == nil }.map(\.id) == [ids[0], large])
        #expect(QueueReport.text(now).hasSuffix("3 damaged, 1 acknowledged\n"))
        #expect(try spool.acknowledgeDamage().isSound)
        bench.disk.corrupt("/q/content/\(large)", at: 140_000, with: [0])
        #expect(spool.verify().damages.filter { $0.acknowledged == nil }.map(\.offset) == [131_072])
        bench.disk.processCrash()
        observer = RecordingObserver()
        spool = try bench.open(observer)
        #expect(observer.damages == [])
    }

    /// What is left of a damaged message keeps every file where it is, whoever knows of it.
    @Test func nothingIsDeletedForIt() throws {
        let bench = Bench()
        let (ids, large) = try damaged(bench)
        let spool = try bench.open()
        spool.start(agent: RecordingAgent())
        _ = try spool.acknowledgeDamage()
        for id in ids + [large] where id != ids[1] { #expect(try spool.perform(.delete, on: .message(id)) == 1) }
        for _ in 0..<20 { _ = try spool.perform(.delete, on: .message(try bench.accept(spool, size: 3_000).0)) }
        #expect(bench.disk.contents(Self.first) != nil && bench.disk.contents("/q/content/\(large)") != nil)
        #expect(try spool.export(ids[1]).content.size == 3_000)
        #expect(try spool.perform(.delete, on: .message(ids[1])) == 1)
        _ = try bench.accept(spool)
        spool.turn()
        #expect(bench.disk.contents(Self.first) == nil)
        #expect(try spool.status().acknowledgedDamages == 0)
    }

    /// A place that nobody can say anything about has no message to be deleted: acknowledging is what ends it.
    @Test func aPlaceWithoutAMessageIsGivenUp() throws {
        let bench = Bench()
        var spool = try bench.open()
        let (id, _) = try bench.accept(spool, size: 3_000)
        for _ in 0..<3 { _ = try bench.accept(spool, size: 3_000) }
        bench.disk.processCrash()
        // The record's own header, behind segment header, lease batch and batch header.
        bench.disk.corrupt(Self.first, at: SegmentHeader.length + 48 + 32 + 48 + 2, with: [0xFF])
        spool = try bench.open()
        #expect(try spool.status().damages.count == 1)
        #expect(try !spool.list().map(\.id).contains(id))
        let turnover = {
            for _ in 0..<20 { _ = try spool.perform(.delete, on: .message(try bench.accept(spool, size: 3_000).0)) }
        }
        try turnover()
        #expect(bench.disk.contents(Self.first) != nil)
        _ = try spool.acknowledgeDamage()
        try turnover()
        #expect(bench.disk.contents(Self.first) == nil)
        #expect(try spool.status().acknowledgedDamages == 0)
        let left = try spool.list()
        #expect(left.count == 3, "\(left)")
    }

    /// What failed once to be read, and can be read now, was reported as well.
    @Test func aReadThatFailedOnceCanBeAcknowledged() throws {
        var bench = Bench()
        bench.options.memoryLimit = 0
        let spool = try bench.open()
        let (id, _) = try bench.accept(spool, size: 100_000)
        let old = try #require(bench.disk.contents("/q/content/\(id)")?.getInteger(at: 10, as: UInt8.self))
        bench.disk.corrupt("/q/content/\(id)", at: 10, with: [0])
        let agent = RecordingAgent()
        spool.start(agent: agent)
        spool.turn()
        #expect(throws: SpoolError.self) { try read(#require(agent.take()).content) }
        spool.record(DeliveryReport(id: id, outcomes: [.deferred("x"), .deferred("x")]))
        spool.turn()
        bench.disk.corrupt("/q/content/\(id)", at: 10, with: [old])
        #expect(try spool.status().damages.count == 1)
        let report = try spool.acknowledgeDamage()
        #expect(report.damages.map(\.id) == [id])
        #expect(try spool.status().damages == [] && spool.verify().isSound)
    }

    /// A write or flush fails: nothing is acknowledged, and the next attempt makes a file of its own.
    @Test(arguments: [(0, false), (0, true), (1, true)]) func aFailedAcknowledgementIsNone(after: Int, isFlush: Bool) throws {
        let bench = Bench()
        _ = try damaged(bench)
        var spool = try bench.open()
        if isFlush { bench.disk.failFlush(after: after) } else { bench.disk.failWrite(after: after) }
        #expect(throws: SpoolError.self) { try spool.acknowledgeDamage() }
        #expect(try spool.status().damages.count == 1)
        bench.disk.processCrash()
        spool = try bench.open()
        #expect(try spool.status().damages.count == 1)
        #expect(try spool.acknowledgeDamage().isSound)
        bench.disk.powerCut()
        #expect(try bench.open().status().damages == [])
    }

    /// The machine stops at each of its steps.
    @Test func anInterruptedAcknowledgementDoesNoHarm() throws {
        var step = 0
        while true {
            let bench = Bench()
            let (ids, _) = try damaged(bench)
            var spool = try bench.open()
            bench.disk.stop(afterSteps: step)
            let isDone = (try? spool.acknowledgeDamage())?.isSound ?? false && !bench.disk.isStopped
            bench.disk.stop(afterSteps: nil)
            bench.disk.powerCut()
            spool = try bench.open()
            #expect(try !isDone || spool.status().damages == [])
            #expect(try spool.list().count == ids.count + 1)
            #expect(try spool.acknowledgeDamage().isSound && spool.status().damages == [])
            if isDone { break }
            step += 1
        }
        #expect(step > 5)
    }

    @Test func theFileIsReadLineByLine() throws {
        let place = DamagePlace(file: "journal/00000007.log", offset: 12, length: 90, what: "content of 1A is unreadable")
        let entry = Acknowledgements.Entry(time: 1_795_000_000, id: QueueID(rawValue: 0x1A), place: place)
        let anonymous = Acknowledgements.Entry(time: 1, id: nil, place: DamagePlace(file: "journal", offset: 0, length: 0, what: "a\nb"))
        for one in [entry, anonymous] { #expect(Acknowledgements.Entry(line: one.line) == one) }
        #expect(entry.line.hasSuffix(" 1795000000 journal/00000007.log 12 90 \(QueueID(rawValue: 0x1A)) content of 1A is unreadable"))
        #expect(!anonymous.line.contains("\n"))
        for end in 0..<entry.line.utf8.count { #expect(Acknowledgements.Entry(line: String(entry.line.prefix(end))) == nil) }
        for line in ["", " ", "1", "x y", "-1 1 a 1 1 - x", entry.line + "x", entry.line.replacing(" 12 ", with: " 13 ")] {
            #expect(Acknowledgements.Entry(line: line) == nil)
        }
    }

    @Test(arguments: [
        (12, 90, "x", true), (20, 10, "x", true), (101, 1, "x", true), (102, 0, "x", true), (11, 5, "x", false), (100, 3, "x", false),
        (103, 0, "x", false), (12, 90, "y", false), (12, Int.max, "x", false), (Int.max, 1, "x", false),
    ]) func aPlaceCoversWhatLiesInIt(offset: Int, length: Int, what: String, isCovered: Bool) {
        let place = DamagePlace(file: "journal/00000007.log", offset: 12, length: 90, what: "x")
        #expect(place.covers(DamagePlace(file: place.file, offset: offset, length: length, what: what)) == isCovered)
        #expect(!place.covers(DamagePlace(file: "content/1", offset: offset, length: length, what: what)))
    }
}
