import NIOCore

/// What one flush made durable: a header and its records.
struct BatchHeader: Sendable, Hashable {
    static let length = 48

    /// That of the segment.
    var salt: UInt64
    /// Strictly increasing by one, across segments.
    var number: UInt64
    /// Wall clock, seconds since 1970.
    var time: Double
    /// Bytes of all records.
    var recordsLength: UInt32
    var recordCount: UInt32
    /// The ``checksum`` of the batch before this one, wherever that is.
    var previousChecksum: UInt32
    /// Over the headers of the records, which hold checksums of the rest.
    var recordsChecksum: UInt32

    /// Over this header; the link that the next batch names.
    var checksum: UInt32 { crc32c(fields()) }

    func encoded() -> ByteBuffer {
        var out = fields()
        let checksum = crc32c(out)
        out.writeField(checksum)
        out.writeField(UInt32(0))
        return out
    }

    private func fields() -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: Self.length)
        out.writeField(salt)
        out.writeField(number)
        out.writeField(time)
        out.writeField(recordsLength)
        out.writeField(recordCount)
        out.writeField(previousChecksum)
        out.writeField(recordsChecksum)
        return out
    }

    /// nil unless the bytes begin with a whole header of this segment whose checksum is right.
    init?(parsing bytes: ByteBuffer, salt expected: UInt64) {
        var bytes = bytes
        guard let checked = bytes.getSlice(at: bytes.readerIndex, length: Self.length - 8),
            let salt: UInt64 = bytes.readField(), salt == expected, let number: UInt64 = bytes.readField(),
            let time = bytes.readDouble(), let recordsLength: UInt32 = bytes.readField(), let recordCount: UInt32 = bytes.readField(),
            let previous: UInt32 = bytes.readField(), let records: UInt32 = bytes.readField(),
            let checksum: UInt32 = bytes.readField(), bytes.readField(UInt32.self) != nil, checksum == crc32c(checked)
        else { return nil }
        self.init(
            salt: salt,
            number: number,
            time: time,
            recordsLength: recordsLength,
            recordCount: recordCount,
            previousChecksum: previous,
            recordsChecksum: records
        )
    }

    init(
        salt: UInt64,
        number: UInt64,
        time: Double,
        recordsLength: UInt32,
        recordCount: UInt32,
        previousChecksum: UInt32,
        recordsChecksum: UInt32
    ) {
        self.salt = salt
        self.number = number
        self.time = time
        self.recordsLength = recordsLength
        self.recordCount = recordCount
        self.previousChecksum = previousChecksum
        self.recordsChecksum = recordsChecksum
    }
}
