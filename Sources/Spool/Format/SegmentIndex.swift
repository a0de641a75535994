import NIOCore

/// The index behind the last batch of a sealed segment. Where it is, how long, and its checksum are in the header of the next segment; if it
/// cannot be read, the segment itself can.
struct SegmentIndex: Sendable {
    static let magic: UInt64 = 0x3158_4449_5453_4F50  // "POSTIDX1", read as little-endian
    static let headerLength = 24
    /// More is not read: offsets in a segment have 32 bits.
    static let lengthLimit = 1 << 32

    /// Encoded facts, in the order of their records.
    private var entries = ByteBuffer()
    private(set) var count = 0
    /// The latest time of any batch here.
    var newestTime: Double = 0

    init() {}

    mutating func append(_ fact: IndexFact) {
        fact.encode(into: &entries)
        count += 1
    }

    func encoded() -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: Self.headerLength + entries.readableBytes)
        out.writeField(Self.magic)
        out.writeField(UInt64(count))
        out.writeField(newestTime)
        out.writeImmutableBuffer(entries)
        return out
    }

    /// Whether an index, whole or not, begins here: nothing else at the end of a segment does, since batches begin with a salt.
    static func begins(_ bytes: ByteBuffer, at position: Int) -> Bool {
        bytes.getInteger(at: bytes.readerIndex + position, endianness: .little, as: UInt64.self) == magic
    }

    /// Hands over each fact of the index of `segment`, and returns its newest time; nil, when it is not one. Facts that were handed over
    /// before that are true all the same, but others are missing.
    static func parse(_ bytes: ByteBuffer, checksum: UInt32, segment: UInt64, end: Int, _ body: (IndexFact) -> Void) -> Double? {
        guard crc32c(bytes) == checksum else { return nil }
        var bytes = bytes
        guard bytes.readField(UInt64.self) == magic, let count: UInt64 = bytes.readField(), let newest = bytes.readDouble() else {
            return nil
        }
        for _ in 0..<min(count, UInt64(bytes.readableBytes)) {
            guard let fact = IndexFact(parsing: &bytes, segment: segment), fact.ends(by: end) else { return nil }
            body(fact)
        }
        return bytes.readableBytes == 0 ? newest : nil
    }
}

extension IndexFact {
    /// Whether the record it speaks of can be in a segment of that length.
    fileprivate func ends(by end: Int) -> Bool {
        switch self {
        case .message(_, _, let location), .state(_, _, _, let location): location.offset + location.length <= end
        default: true
        }
    }
}
