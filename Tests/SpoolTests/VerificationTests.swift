import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// `queue verify` finds every changed byte that matters; `queue export` gives what is left.
@Suite struct VerificationTests {
    private func queue(_ bench: Bench) throws -> (Spool, ids: [QueueID], large: QueueID) {
        let spool = try bench.open()
        var ids: [QueueID] = []
        for _ in 0..<12 { ids.append(try bench.accept(spool, size: 3_000).0) }
        let (large, _) = try bench.accept(spool, size: 150_000)
        #expect(try spool.perform(.delete, on: .message(ids.removeLast())) == 1)
        return (spool, ids, large)
    }

    @Test func aSoundQueueHasNoDamage() throws {
        let (spool, ids, _) = try queue(Bench())
        let report = spool.verify()
        #expect(report.damages.isEmpty)
        #expect(
            report.messages == ids.count + 1 && report.contentFiles == 1 && report.segments > 1 && report.indexes == report.segments - 1
        )
        #expect(report.bytes > 180_000)
        #expect(QueueReport.text(report).hasSuffix("bytes read: no damage\n"))
        #expect(QueueReport.json(report).hasSuffix("\"damage\": []}\n"))
    }

    /// Every byte of a small journal and of a content file, changed one at a time while the queue is open.
    @Test func everyChangedByteIsFound() throws {
        var bench = Bench()
        bench.options.segmentSize = 4_096
        let spool = try bench.open()
        for _ in 0..<3 { _ = try bench.accept(spool, size: 2_000) }
        let (large, _) = try bench.accept(spool, size: 70_000)
        let segments = Int(try spool.status().segments)
        for number in 1...segments {
            let path = "/q/journal/0000000\(number).log"
            let bytes = try #require(bench.disk.contents(path))
            for offset in stride(from: 0, to: bytes.readableBytes, by: 7) {
                let old = try #require(bytes.getInteger(at: offset, as: UInt8.self))
                bench.disk.corrupt(path, at: offset, with: [old ^ 0x10])
                let isNoticed = !spool.verify().damages.isEmpty
                #expect(isNoticed || isPadding(bytes, offset), "\(path) at \(offset)")
                bench.disk.corrupt(path, at: offset, with: [old])
            }
        }
        for offset in [0, 40_000, 65_535, 65_536, 69_999] {
            let old = try #require(bench.disk.contents("/q/content/\(large)")?.getInteger(at: offset, as: UInt8.self))
            bench.disk.corrupt("/q/content/\(large)", at: offset, with: [old ^ 1])
            let report = spool.verify()
            #expect(report.damages.map(\.id) == [large] && report.damages.first?.file == "content/\(large)")
            #expect(report.damages.first?.offset == offset / 65_536 * 65_536)
            bench.disk.corrupt("/q/content/\(large)", at: offset, with: [old])
        }
        #expect(spool.verify().damages.isEmpty)
    }

    /// The four bytes behind the checksum of a segment or batch header are not used.
    private func isPadding(_ bytes: ByteBuffer, _ offset: Int) -> Bool {
        if (100..<104).contains(offset) { return true }
        guard case .header(let header) = SegmentHeader.parse(bytes) else { return false }
        return (44...47).contains { place in
            offset >= place
                && bytes.getSlice(at: offset - place, length: BatchHeader.length).flatMap { BatchHeader(parsing: $0, salt: header.salt) }
                    != nil
        }
    }

    @Test func theReportSaysWhere() throws {
        let bench = Bench()
        let (spool, ids, _) = try queue(bench)
        let text = "of message \(ids[1])"
        let bytes = try #require(bench.disk.contents("/q/journal/00000001.log"))
        let place = try #require((0..<bytes.readableBytes).first { bytes.getString(at: $0, length: text.utf8.count) == text })
        bench.disk.corrupt("/q/journal/00000001.log", at: place + 40, with: [0])
        let report = spool.verify()
        let damage = try #require(report.damages.first)
        #expect(report.damages.count == 1 && damage.id == ids[1] && damage.file == "journal/00000001.log")
        #expect(damage.offset < place && damage.offset + damage.length > place)
        #expect(
            QueueReport.text(report).hasPrefix(
                "damage: journal/00000001.log: \(damage.length) bytes at \(damage.offset): \(ids[1]): content of"
            )
        )
        #expect(QueueReport.json(report).contains("\"queue_id\": \"\(ids[1])\""))
    }

    private func exported(_ spool: Spool, _ id: QueueID) throws -> (header: [String], content: ByteBuffer) {
        let message = try spool.export(id)
        let header = QueueExport.header(message)
        #expect(header.hasSuffix("\r\n"))
        return (header.split(separator: "\r\n").map(String.init), try read(message.content))
    }

    @Test func exportIsTheMessageAndItsEnvelope() throws {
        let bench = Bench()
        let spool = try bench.open()
        let agent = RecordingAgent()
        spool.start(agent: agent)
        let id = try spool.reserveQueueID()
        var message = envelope(from: "", to: ["a@example.org", "b c@example.org"])
        message.recipients[1].original = address("alias@example.com")
        message.body = .eightBitMIME
        message.recipients[1].notify = [.failure, .delay]
        message.recipients[1].declaredOriginal = "rfc822;o@example.net"
        message.needsUTF8 = true
        message.returns = .headers
        message.envelopeID = "QQ1"
        message.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))
        message.origin.clientName = "client\r\nX-Envelope-To: <forged@example.org>"
        message.origin.saslUsername = "alice"
        let bytes = ByteBuffer(bytes: Array("Subject: x\r\n\r\n".utf8) + [0xE4, 0x00, 0xFF, 0x0D, 0x0A])
        spool.accept(IncomingMessage(id: id, envelope: message, content: bytes, arrival: 1_795_000_000.7), receipt: RecordingReceipt())
        spool.turn()
        spool.record(DeliveryReport(id: id, outcomes: [.delivered, .deferred("x")]))
        spool.turn()
        let (header, content) = try exported(spool, id)
        #expect(content == bytes)
        #expect(
            header == [
                "X-Postern-Queue-ID: \(id)", "X-Postern-State: deferred", "X-Postern-Arrival: 1795000000", "X-Postern-Attempts: 1",
                "X-Envelope-From: <>", "X-Envelope-Served: <a@example.org>", "X-Envelope-To: <\"b c\"@example.org>",
                "X-Envelope-To-Original: <alias@example.com>", "X-Envelope-To-Notify: FAILURE,DELAY",
                "X-Envelope-To-ORCPT: rfc822;o@example.net", "X-Envelope-Body: 8BITMIME", "X-Envelope-SMTPUTF8: yes",
                "X-Envelope-RET: HDRS", "X-Envelope-ENVID: QQ1", "X-Envelope-XVERP: +=",
                "X-Envelope-Client-Name: client??X-Envelope-To: <forged@example.org>", "X-Envelope-SASL-Username: alice",
            ]
        )
        #expect(throws: SpoolError.unknownQueueID(QueueID(rawValue: 1))) { try spool.export(QueueID(rawValue: 1)) }
    }

    enum Where: CaseIterable { case head, body, file, missingFile }

    /// A damaged message can be taken out of the queue, before and after a restart has put it into quarantine.
    @Test(arguments: Where.allCases, [false, true]) func exportOfADamagedMessage(place: Where, restart: Bool) throws {
        let bench = Bench()
        var spool = try bench.open()
        let size = place == .head || place == .body ? 3_000 : 150_000
        let (id, _) = try bench.accept(spool, size: size)
        let (other, _) = try bench.accept(spool)
        let base = SegmentHeader.length + 48 + 32 + 48
        switch place {
        case .head: bench.disk.corrupt("/q/journal/00000001.log", at: base + 32 + 25, with: [0xEE])
        case .body: bench.disk.corrupt("/q/journal/00000001.log", at: base + 2_000, with: [0xEE])
        case .file: bench.disk.corrupt("/q/content/\(id)", at: 70_000, with: [0xEE])
        case .missingFile: try bench.disk.unlink("/q/content/\(id)")
        }
        if restart {
            bench.disk.processCrash()
            spool = try bench.open()
        }
        #expect(spool.verify().damages.contains { $0.id == id })
        let (header, found) = try exported(spool, id)
        #expect(header.contains { $0.hasPrefix("X-Postern-Damage: ") })
        #expect(header.contains("X-Postern-Queue-ID: \(id)"))
        #expect(found.readableBytes == (place == .missingFile ? 0 : size))
        if place == .head {
            #expect(found == content(id, size))
        } else {
            #expect(header.contains("X-Envelope-To: <a@example.org>"))
        }
        if place == .head, restart { #expect(try spool.list().map(\.id) == [id, other] && spool.status().quarantined == 1) }
        #expect(try exported(spool, other).content == content(other, 100))
    }
}
