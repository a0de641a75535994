import NIOCore

/// The first bytes of a journal segment, flushed before anything follows.
///
/// It also says where its predecessor ends: whatever that file holds beyond (a batch whose flush failed, or one torn by a crash) is void
/// from the moment this header is durable.
struct SegmentHeader: Sendable, Hashable {
    static let magic: UInt64 = 0x314E_524A_5453_4F50  // "POSTJRN1", read as little-endian
    /// What is written. Version 1, which knew no indexes, is still read.
    static let version: UInt32 = 2
    /// Bytes of the header that is written.
    static let length = 104
    private static let lengthOfVersion1 = 88

    /// As it was read.
    var version = Self.version
    var number: UInt64
    /// Opens every batch of this segment. A sender cannot know it, so content cannot look like a batch.
    var salt: UInt64
    var created: Double
    /// The number of the first batch here.
    var firstBatch: UInt64
    /// No queue id at or above this has been given out.
    var queueIDLimit: UInt64
    /// The segment before this one, where it ends, and the checksum of its last batch; all 0 for the first of all.
    var previousNumber: UInt64
    var previousEnd: UInt64
    var previousChecksum: UInt32
    /// The index that follows the end of the segment before this one: its length, 0 if there is none, and its checksum.
    var previousIndexLength: UInt64 = 0
    var previousIndexChecksum: UInt32 = 0
    /// The wall clock just after it was last seen to jump against the monotonic one; 0 if it never was.
    var clockSet: Double = 0

    /// Bytes of this header; the first batch follows.
    var length: Int { version == 1 ? Self.lengthOfVersion1 : Self.length }

    func encoded() -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: Self.length)
        out.writeField(Self.magic)
        out.writeField(version)
        out.writeField(UInt32(0))
        out.writeField(number)
        out.writeField(salt)
        out.writeField(created)
        out.writeField(firstBatch)
        out.writeField(queueIDLimit)
        out.writeField(previousNumber)
        out.writeField(previousEnd)
        out.writeField(previousChecksum)
        out.writeField(previousIndexChecksum)
        if version > 1 {
            out.writeField(previousIndexLength)
            out.writeField(clockSet)
        }
        let checksum = crc32c(out)
        out.writeField(checksum)
        out.writeField(UInt32(0))
        return out
    }

    enum ParseResult: Hashable {
        case header(SegmentHeader)
        /// A well-formed header of another format version.
        case version(UInt32)
        case invalid
    }

    static func parse(_ bytes: ByteBuffer) -> ParseResult {
        var bytes = bytes
        let whole = bytes
        guard bytes.readField(UInt64.self) == magic, let version: UInt32 = bytes.readField() else { return .invalid }
        // The magic and the version keep their place in every format to come, so a newer journal is never mistaken for a damaged one.
        guard version == 1 || version == Self.version else { return .version(version) }
        let length = version == 1 ? lengthOfVersion1 : Self.length
        guard let checked = whole.getSlice(at: whole.readerIndex, length: length - 8), bytes.readField(UInt32.self) != nil,
            let number: UInt64 = bytes.readField(), let salt: UInt64 = bytes.readField(), let created = bytes.readDouble(),
            let firstBatch: UInt64 = bytes.readField(), let limit: UInt64 = bytes.readField(), let previous: UInt64 = bytes.readField(),
            let previousEnd: UInt64 = bytes.readField(), let previousChecksum: UInt32 = bytes.readField(),
            let indexChecksum: UInt32 = bytes.readField()
        else { return .invalid }
        var header = SegmentHeader(
            version: version,
            number: number,
            salt: salt,
            created: created,
            firstBatch: firstBatch,
            queueIDLimit: limit,
            previousNumber: previous,
            previousEnd: previousEnd,
            previousChecksum: previousChecksum,
            previousIndexChecksum: indexChecksum
        )
        if version > 1 {
            guard let indexLength: UInt64 = bytes.readField(), let clockSet = bytes.readDouble() else { return .invalid }
            header.previousIndexLength = indexLength
            header.clockSet = clockSet
        }
        guard let checksum: UInt32 = bytes.readField(), bytes.readField(UInt32.self) != nil, checksum == crc32c(checked) else {
            return .invalid
        }
        return .header(header)
    }
}
