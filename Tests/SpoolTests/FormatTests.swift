import NIOCore
import PosternTesting
import SMTPCore
import Testing

@testable import Spool

/// Bytes of the journal: what they mean, and that no bytes can trap the reader.
@Suite struct FormatTests {
    static let header = SegmentHeader(
        number: 3,
        salt: 0x1122_3344_5566_7788,
        created: 1_795_000_000,
        firstBatch: 7,
        queueIDLimit: 4_711,
        previousNumber: 2,
        previousEnd: 999,
        previousChecksum: 5,
        previousIndexLength: 77,
        previousIndexChecksum: 6,
        clockSet: 1_794_000_000
    )

    /// As the first format had it: no index, no clock.
    static let headerOfVersion1 = SegmentHeader(
        version: 1,
        number: 1,
        salt: 0x1122_3344_5566_7788,
        created: 1_795_000_000,
        firstBatch: 1,
        queueIDLimit: 4_711,
        previousNumber: 0,
        previousEnd: 0,
        previousChecksum: 0
    )

    static func message(_ recipients: Int = 2) -> MessageRecord {
        var origin = MessageOrigin()
        origin.clientName = "client.example.com"
        origin.saslUsername = "älice"
        let envelope = Envelope(
            sender: Address(localPart: "a b", domain: "example.com"),
            recipients: (0..<recipients).map {
                Recipient(
                    address: Address(localPart: "r\($0)", domain: nil),
                    original: $0 == 1 ? Address(localPart: "o", domain: "x") : nil
                )
            },
            body: .eightBitMIME,
            origin: origin
        )
        return MessageRecord(newMessage: envelope, size: 11, arrival: 1_795_000_001.5)
    }

    /// With every field of the extensions.
    static let extendedMessage: MessageRecord = {
        var record = message(3)
        record.envelope.needsUTF8 = true
        record.envelope.returns = .headers
        record.envelope.envelopeID = "QQ 314159"
        record.envelope.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: UInt8(ascii: "="))
        record.envelope.contentFilter = ContentFilter(transport: "scan", nextHop: "[127.0.0.1]:10025")
        record.envelope.recipients[0].notify = [.success, .failure]
        record.envelope.recipients[1].declaredOriginal = "rfc822;o@x"
        record.envelope.recipients[2].notify = .never
        return record
    }()

    @Test func theExtensionsOfTheEnvelopeSurviveAndCostOrdinaryMailNothing() {
        var bytes = Self.extendedMessage.encoded()
        #expect(MessageRecord(parsing: &bytes) == Self.extendedMessage)
        #expect(bytes.readableBytes == 0)
        // The fields of an ordinary message are those of the first version of the format, byte for byte.
        var plain = Self.message(1)
        plain.envelope.body = .unspecified
        let start = plain.encoded()
        #expect(start.getInteger(at: 21, as: UInt8.self) == 0)
    }

    static let facts: [JournalFact] = [
        .message(QueueID(rawValue: 70), message(), isInFile: false),
        .outcome(
            QueueID(rawValue: 70),
            DeliveryState(attempts: 1, nextAttempt: 1_795_000_300, pending: [.init(recipient: 1, reason: "later")]),
            bounce: nil
        ),
        .outcome(
            QueueID(rawValue: 70),
            DeliveryState(attempts: 2, nextAttempt: 1_795_000_350, pending: [.init(recipient: 1, reason: "later")], isToldOfDelay: true),
            bounce: nil
        ),
        .outcome(
            QueueID(rawValue: 70),
            DeliveryState(attempts: 2, nextAttempt: 1_795_000_400, pending: []),
            bounce: JournalFact.Bounce(id: QueueID(rawValue: 71), message: message(1))
        ),
        .hold(QueueID(rawValue: 71)), .release(QueueID(rawValue: 71)), .remove(QueueID(rawValue: 71)), .queueIDLimit(5_000), .cleanEnd,
        .message(QueueID(rawValue: 72), extendedMessage, isInFile: false),
    ]

    static let body = ByteBuffer(string: "Subject: x\n")

    /// A segment with one batch for each list of facts, and where each batch ends.
    static func segment(_ batches: [[JournalFact]], header: SegmentHeader = Self.header) -> (bytes: ByteBuffer, ends: [Int]) {
        var out = header.encoded()
        var ends: [Int] = []
        var previous = header.previousChecksum
        for (index, facts) in batches.enumerated() {
            let records = facts.map { $0.encoded(body: body) }
            var checksum: UInt32 = 0
            for record in records { checksum = crc32c(record.encodedHeader, continuing: checksum) }
            let batch = BatchHeader(
                salt: header.salt,
                number: header.firstBatch + UInt64(index),
                time: header.created + Double(index),
                recordsLength: UInt32(records.reduce(0) { $0 + $1.length }),
                recordCount: UInt32(records.count),
                previousChecksum: previous,
                recordsChecksum: checksum
            )
            previous = batch.checksum
            out.writeImmutableBuffer(batch.encoded())
            for record in records {
                for part in [record.encodedHeader, record.head, record.body] { out.writeImmutableBuffer(part) }
            }
            ends.append(out.readableBytes)
        }
        return (out, ends)
    }

    @Test func checksumIsCastagnoli() {
        #expect(crc32c(ByteBuffer(string: "123456789")) == 0xE306_9283)
        #expect(crc32c(ByteBuffer(string: "6789"), continuing: crc32c(ByteBuffer(string: "12345"))) == 0xE306_9283)
    }

    @Test func segmentHeaderRoundTrip() {
        #expect(SegmentHeader.parse(Self.header.encoded()) == .header(Self.header))
        #expect(Self.header.encoded().readableBytes == SegmentHeader.length)
        #expect(SegmentHeader.parse(Self.headerOfVersion1.encoded()) == .header(Self.headerOfVersion1))
        #expect(Self.headerOfVersion1.encoded().readableBytes == 88)
        var newer = Self.header.encoded()
        newer.setInteger(UInt32(9), at: 8, endianness: .little)
        #expect(SegmentHeader.parse(newer) == .version(9))
        #expect(SegmentHeader.parse(ByteBuffer(repeating: 0, count: 88)) == .invalid)
        #expect(SegmentHeader.parse(ByteBuffer()) == .invalid)
    }

    @Test(arguments: facts) func factRoundTrip(fact: JournalFact) throws {
        let encoded = fact.encoded(body: Self.body)
        let header = try #require(RecordHeader(parsing: encoded.encodedHeader))
        #expect(header == encoded.header)
        #expect(JournalFact(header, head: encoded.head) == fact)
    }

    @Test func recipientOutsideTheEnvelopeIsRefused() throws {
        var message = Self.message(1)
        message.state.pending.append(.init(recipient: 1, reason: ""))
        let encoded = JournalFact.message(QueueID(rawValue: 1), message, isInFile: false).encoded(body: Self.body)
        #expect(JournalFact(encoded.header, head: encoded.head) == nil)
    }

    /// Where a byte is changed, and what the segment is then: last or sealed by a successor.
    struct Damage: Sendable {
        var batch: Int
        var isSealed: Bool
        var isTorn: Bool
        var damages: Int
        var end: Int
    }

    @Test(arguments: [
        // The last batch of the last segment is cut whole, and is no damage.
        Damage(batch: 2, isSealed: false, isTorn: true, damages: 0, end: 1),
        // Everywhere else the same byte is corruption.
        Damage(batch: 1, isSealed: false, isTorn: false, damages: 1, end: 2),
        Damage(batch: 0, isSealed: false, isTorn: false, damages: 1, end: 2),
        Damage(batch: 2, isSealed: true, isTorn: false, damages: 1, end: 2),
    ]) func tornOrCorrupt(damage: Damage) {
        var (bytes, ends) = Self.segment([[Self.facts[0]], [Self.facts[1]], [Self.facts[3], Self.facts[4]]])
        // A byte of the batch's first record head, or header if it has none.
        let start = damage.batch == 0 ? SegmentHeader.length : ends[damage.batch - 1]
        let place = start + BatchHeader.length + 20
        bytes.setInteger(bytes.getInteger(at: place, as: UInt8.self)! ^ 1, at: place)
        let scan = SegmentScan(bytes, header: Self.header, sealedAt: damage.isSealed ? ends[2] : nil)
        #expect(scan.isTorn == damage.isTorn)
        #expect(scan.damages.count == damage.damages, "\(scan.damages)")
        #expect(scan.end == ends[damage.end])
    }

    @Test func everyCutOfTheLastSegmentIsTorn() {
        let (bytes, ends) = Self.segment([Self.facts, [Self.facts[0]]])
        for length in SegmentHeader.length...bytes.readableBytes {
            let scan = SegmentScan(bytes.getSlice(at: 0, length: length)!, header: Self.header, sealedAt: nil)
            #expect(scan.damages.isEmpty)
            #expect(scan.end == ([SegmentHeader.length] + ends).last { $0 <= length })
            #expect(scan.isTorn == !([SegmentHeader.length] + ends).contains(length))
            let sealed = SegmentScan(bytes.getSlice(at: 0, length: length)!, header: Self.header, sealedAt: ends[1])
            #expect(sealed.damages.isEmpty == (length == ends[1]))
        }
    }

    /// What is left of a record in the middle of the journal when a byte of it is changed.
    @Test(arguments: [
        (RecordHeader.length + 3, SegmentScan.Damage.Remains.acceptedID, 0),
        (RecordHeader.length + 150, SegmentScan.Damage.Remains.envelope, 1),
    ]) func whatIsLeftOfADamagedAccept(place: Int, remains: SegmentScan.Damage.Remains, facts: Int) throws {
        var (bytes, _) = Self.segment([[Self.facts[0]], [Self.facts[3]]])
        let start = SegmentHeader.length + BatchHeader.length
        let head = Int(try #require(RecordHeader(parsing: bytes.getSlice(at: start, length: RecordHeader.length)!)).headLength)
        let offset = start + (remains == .envelope ? RecordHeader.length + head + 2 : place)
        bytes.setInteger(bytes.getInteger(at: offset, as: UInt8.self)! ^ 1, at: offset)
        let scan = SegmentScan(bytes, header: Self.header, sealedAt: nil)
        #expect(scan.damages.map(\.id) == [QueueID(rawValue: 70)])
        #expect(scan.damages.map(\.remains) == [remains])
        #expect(scan.records.count == facts + 1)
    }

    @Test func indexRoundTrip() throws {
        var index = SegmentIndex()
        index.newestTime = 1_795_000_002
        var facts: [IndexFact] = []
        for (number, fact) in Self.facts.enumerated() {
            let location = RecordLocation(segment: 3, offset: 200 + number * 300, headLength: 100, bodyLength: 11)
            fact.forEachIndexFact(at: location) {
                facts.append($0)
                index.append($0)
            }
        }
        #expect(facts.count == Self.facts.count + 1)
        let bytes = index.encoded()
        var read: [IndexFact] = []
        #expect(SegmentIndex.parse(bytes, checksum: crc32c(bytes), segment: 3, end: 10_000) { read.append($0) } == index.newestTime)
        #expect(read == facts)
        // Not one byte may be missing or changed, and no record may lie outside the segment.
        #expect(SegmentIndex.parse(bytes, checksum: crc32c(bytes) ^ 1, segment: 3, end: 10_000) { _ in } == nil)
        #expect(SegmentIndex.parse(bytes, checksum: crc32c(bytes), segment: 3, end: 300) { _ in } == nil)
        for seed in 1...1_000 {
            var random = SeededRandom(seed: UInt64(seed))
            var mutated = bytes
            let place = Int.random(in: 0..<mutated.readableBytes, using: &random)
            mutated.setInteger(UInt8.random(in: 0...255, using: &random), at: place)
            if seed % 3 == 0 { mutated = mutated.getSlice(at: 0, length: place)! }
            _ = SegmentIndex.parse(mutated, checksum: crc32c(mutated), segment: 3, end: 10_000) { _ in }
        }
    }

    @Test func indexAtTheEndIsNoTornBatch() {
        var (bytes, ends) = Self.segment([[Self.facts[0]]])
        bytes.writeImmutableBuffer(SegmentIndex().encoded())
        for cut in 8...24 {
            let scan = SegmentScan(bytes.getSlice(at: 0, length: ends[0] + cut)!, header: Self.header, sealedAt: nil)
            #expect(!scan.isTorn && scan.end == ends[0] && scan.damages.isEmpty)
        }
    }

    @Test func contentCannotForgeABatch() {
        // A message that holds a copy of a batch, but with a salt its sender had to guess.
        var forged = BatchHeader(salt: 1, number: 9, time: 0, recordsLength: 0, recordCount: 0, previousChecksum: 0, recordsChecksum: 0)
            .encoded()
        forged.writeImmutableBuffer(forged)
        var (bytes, ends) = Self.segment([[.hold(QueueID(rawValue: 1))]])
        bytes.writeImmutableBuffer(forged)
        let scan = SegmentScan(bytes, header: Self.header, sealedAt: nil)
        #expect(scan.isTorn && scan.end == ends[0] && scan.records.count == 1)
    }

    @Test func mutatedBytesNeverTrap() {
        let (bytes, _) = Self.segment([Self.facts, Self.facts, Self.facts])
        for seed in 1...1_500 {
            var random = SeededRandom(seed: UInt64(seed))
            var mutated = bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<mutated.readableBytes, using: &random)
                mutated.setInteger(UInt8.random(in: 0...255, using: &random), at: place)
            }
            if seed % 3 == 0 { mutated = mutated.getSlice(at: 0, length: Int.random(in: 0...mutated.readableBytes, using: &random))! }
            _ = SegmentHeader.parse(mutated)
            let sealed = seed % 2 == 0 ? Int.random(in: 0...9_999, using: &random) : nil
            let scan = SegmentScan(mutated, header: Self.header, sealedAt: sealed)
            #expect(scan.records.count <= 3 * Self.facts.count)
        }
    }

    /// Heads with right checksums and any content: what a newer or a hostile writer might leave.
    @Test func randomHeadsNeverTrap() {
        let heads = Self.facts.map { $0.encoded(body: Self.body) }
        for seed in 1...4_000 {
            var random = SeededRandom(seed: UInt64(seed))
            let model = heads[Int.random(in: 0..<heads.count, using: &random)]
            var head = ByteBuffer(bytes: Array(buffer: model.head))
            for _ in 0..<Int.random(in: 1...4, using: &random) where head.readableBytes > 0 {
                let place = Int.random(in: 0..<head.readableBytes, using: &random)
                head.setInteger(UInt8.random(in: 0...255, using: &random), at: place)
            }
            if seed % 5 == 0 {
                head = ByteBuffer(
                    bytes: (0..<Int.random(in: 0...200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
                )
            }
            let header = RecordHeader(kind: model.header.kind, id: QueueID(rawValue: 70), head: head, body: Self.body)
            if let fact = JournalFact(header, head: head) {
                var index = QueueIndex()
                let location = RecordLocation(segment: 1, offset: 88, headLength: head.readableBytes, bodyLength: 11)
                fact.forEachIndexFact(at: location) { _ = index.apply($0) }
                // What could be read can be written and read again.
                #expect(JournalFact(header, head: fact.encoded(body: Self.body).head) == fact)
            }
        }
    }
}
