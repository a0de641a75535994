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
        previousChecksum: 5
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

    static let facts: [JournalFact] = [
        .message(QueueID(rawValue: 70), message(), isInFile: false),
        .outcome(
            QueueID(rawValue: 70),
            DeliveryState(attempts: 1, nextAttempt: 1_795_000_300, pending: [.init(recipient: 1, reason: "later")]),
            bounce: nil
        ),
        .outcome(
            QueueID(rawValue: 70),
            DeliveryState(attempts: 2, nextAttempt: 1_795_000_400, pending: []),
            bounce: JournalFact.Bounce(id: QueueID(rawValue: 71), message: message(1))
        ),
        .hold(QueueID(rawValue: 71)), .release(QueueID(rawValue: 71)), .remove(QueueID(rawValue: 71)), .queueIDLimit(5_000), .cleanEnd,
    ]

    static let body = ByteBuffer(string: "Subject: x\n")

    /// A segment with one batch for each list of facts, and where each batch ends.
    static func segment(_ batches: [[JournalFact]]) -> (bytes: ByteBuffer, ends: [Int]) {
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
                _ = index.apply(fact, at: location)
                // What could be read can be written and read again.
                #expect(JournalFact(header, head: fact.encoded(body: Self.body).head) == fact)
            }
        }
    }
}
