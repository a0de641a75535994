import NIOCore
import SMTPCore

@testable import Spool

extension FuzzTarget {
    /// The input is a journal's records: `kind id head`, separated by 0xFF, the body behind a 0xFE. Checksums are made to fit, so that the
    /// fuzzer gets behind them; the last two bytes say which byte of the finished segment is damaged, if any.
    static let spool = FuzzTarget(
        "spool",
        words: ["\u{1}", "\u{3}", "\u{4}", "\u{5}", "\u{0}\u{0}\u{0}\u{0}", "\u{1}\u{0}\u{0}\u{0}"],
        seeds: [
            "\u{5}\u{1}", "\u{8}\u{2}", "\u{9}\u{0}",
            "\u{3}\u{1}\u{1}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
        ]
    ) { bytes in
        let records = bytes.split(separator: 0xFF).compactMap(record)
        for record in records {
            guard let fact = JournalFact(record.header, head: record.head) else { continue }
            let again = fact.encoded(body: record.body)
            try require(JournalFact(again.header, head: again.head) == fact, "\(fact) is not what it was")
        }
        var segment = segment(of: records)
        try scan(segment, expecting: records.count)
        if bytes.count > 2 {
            let index = (Int(bytes[bytes.count - 2]) << 8 | Int(bytes[bytes.count - 1])) % segment.readableBytes
            segment.setInteger((segment.getInteger(at: index, as: UInt8.self) ?? 0) ^ 0x55, at: index)
            try scan(segment, expecting: nil)
        }
        var raw = ByteBuffer(repeating: 0, count: SegmentHeader.length)
        raw.writeBytes(bytes)
        try scan(raw, expecting: nil)
        var message = ByteBuffer(bytes: bytes)
        _ = MessageRecord(parsing: &message)
        _ = SegmentHeader.parse(ByteBuffer(bytes: bytes))
    }

    private static let salt: UInt64 = 0x0102_0304_0506_0708

    private static func record(_ bytes: ArraySlice<UInt8>) -> EncodedRecord? {
        guard bytes.count >= 2, let first = bytes.first, let kind = RecordKind(rawValue: first) else { return nil }
        let rest = bytes.dropFirst(2)
        let border = rest.firstIndex(of: 0xFE) ?? rest.endIndex
        let id = QueueID(rawValue: UInt64(bytes[bytes.startIndex + 1]))
        return EncodedRecord(kind, id, head: ByteBuffer(bytes: rest[..<border]), body: ByteBuffer(bytes: rest[border...].dropFirst()))
    }

    private static var header: SegmentHeader {
        SegmentHeader(
            number: 1,
            salt: salt,
            created: 1,
            firstBatch: 1,
            queueIDLimit: 1,
            previousNumber: 0,
            previousEnd: 0,
            previousChecksum: 0
        )
    }

    private static func segment(of records: [EncodedRecord]) -> ByteBuffer {
        var out = header.encoded()
        var content = ByteBuffer()
        var checksum: UInt32 = 0
        for record in records {
            checksum = crc32c(record.encodedHeader, continuing: checksum)
            for part in [record.encodedHeader, record.head, record.body] { content.writeImmutableBuffer(part) }
        }
        let batch = BatchHeader(
            salt: salt,
            number: 1,
            time: 1,
            recordsLength: UInt32(content.readableBytes),
            recordCount: UInt32(records.count),
            previousChecksum: 0,
            recordsChecksum: checksum
        )
        out.writeImmutableBuffer(batch.encoded())
        out.writeImmutableBuffer(content)
        return out
    }

    private static func scan(_ segment: ByteBuffer, expecting count: Int?) throws {
        for sealed in [nil, segment.readableBytes, segment.readableBytes + 7, max(0, segment.readableBytes - 3)] {
            let scan = SegmentScan(segment, header: header, sealedAt: sealed)
            try require(scan.records.allSatisfy { $0.offset < segment.readableBytes }, "a record beyond the end")
            if let count { try require(scan.records.count <= count, "more records than were written") }
        }
    }
}
