import NIOCore

/// The append-only files. Used by one thread. Nothing here retries: after a throw the segment is no longer written to, and
/// ``beginSegment(time:queueIDLimit:clockSet:)`` must succeed before the next append.
struct Journal {
    /// A segment that exists.
    struct Segment {
        var number: UInt64
        var file: any SpoolFile
        /// Behind the last batch.
        var end: Int
        /// The index that follows: its length, 0 if there is none, and its checksum.
        var indexLength = 0
        var indexChecksum: UInt32 = 0
    }

    let fileSystem: any SpoolFileSystem
    let directory: String
    /// Oldest first. The last one is being written to if ``isOpen``.
    private(set) var segments: [Segment]
    private(set) var isOpen = false
    private var salt: UInt64 = 0
    private var nextBatch: UInt64
    private var lastChecksum: UInt32
    /// Never used twice, not even for a file that came to nothing.
    private var nextNumber: UInt64
    private(set) var flushes = 0
    /// Of the last segment, as far as it has been written; nil when that one must not be written to any more, or is damaged: then it is
    /// read whole at every start.
    private var index: SegmentIndex?

    init(fileSystem: any SpoolFileSystem, directory: String, replay: Replay) {
        self.fileSystem = fileSystem
        self.directory = directory
        segments = replay.segments
        nextNumber = replay.nextNumber
        nextBatch = replay.nextBatch
        lastChecksum = replay.lastChecksum
        index = replay.lastIndex
    }

    var currentEnd: Int { isOpen ? segments.last?.end ?? 0 : 0 }
    var bytes: Int { segments.reduce(0) { $0 + $1.end + $1.indexLength } }

    func segment(_ number: UInt64) -> Segment? {
        var low = 0
        var high = segments.count
        while low < high {
            let middle = (low + high) / 2
            if segments[middle].number < number { low = middle + 1 } else { high = middle }
        }
        return low < segments.count && segments[low].number == number ? segments[low] : nil
    }

    static func name(_ number: UInt64, _ ending: String = ".log") -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, 8 - digits.utf8.count)) + digits + ending
    }

    /// The number in a segment's file name; nil for other names.
    static func number(_ name: String) -> UInt64? { number(name, ".log") }

    static func number(_ name: String, _ ending: String) -> UInt64? {
        guard name.hasSuffix(ending), let number = UInt64(name.dropLast(ending.utf8.count)), Self.name(number, ending) == name, number > 0,
            number < .max
        else { return nil }
        return number
    }

    func path(_ number: UInt64) -> String { "\(directory)/\(Self.name(number))" }

    /// What a record that was appended means; the index of its segment will say so.
    mutating func note(_ fact: IndexFact) { index?.append(fact) }

    /// Writes the index behind the last batch. Nothing depends on it: where it fails, the next start reads the segment itself.
    private mutating func seal() {
        guard let last = segments.indices.last, let index else { return }
        self.index = nil
        let bytes = index.encoded()
        do throws(FileSystemError) {
            try segments[last].file.write([bytes], at: segments[last].end)
            flushes += 1
            try segments[last].file.sync()
        } catch {
            return
        }
        segments[last].indexLength = bytes.readableBytes
        segments[last].indexChecksum = crc32c(bytes)
    }

    /// Seals the current segment and makes a new one durable, which voids whatever the old one holds beyond its last good batch.
    mutating func beginSegment(time: Double, queueIDLimit: UInt64, clockSet: Double) throws(FileSystemError) {
        isOpen = false
        seal()
        let number = nextNumber
        nextNumber += 1
        let previous = segments.last
        let salt = fileSystem.randomNumber()
        let header = SegmentHeader(
            number: number,
            salt: salt,
            created: time,
            firstBatch: nextBatch,
            queueIDLimit: queueIDLimit,
            previousNumber: previous?.number ?? 0,
            previousEnd: UInt64(previous?.end ?? 0),
            previousChecksum: lastChecksum,
            previousIndexLength: UInt64(previous?.indexLength ?? 0),
            previousIndexChecksum: previous?.indexChecksum ?? 0,
            clockSet: clockSet
        )
        let path = path(number)
        let file = try fileSystem.create(path)
        do throws(FileSystemError) {
            try file.write([header.encoded()], at: 0)
            flushes += 1
            try file.sync()
            try fileSystem.syncDirectory(directory)
        } catch {
            // If this fails as well, replay finds a header that no other segment names, or one that says what the next one will say.
            try? fileSystem.unlink(path)
            throw error
        }
        segments.append(Segment(number: number, file: file, end: SegmentHeader.length))
        index = SegmentIndex()
        self.salt = salt
        isOpen = true
    }

    /// Writes the records as one batch and flushes it. When this returns they are durable; the result says where each one is.
    mutating func append(_ records: [EncodedRecord], time: Double) throws(FileSystemError) -> [RecordLocation] {
        let current = segments.count - 1
        guard isOpen, current >= 0 else { throw FileSystemError(operation: "append to", path: directory, code: inputOutputError) }
        var buffers: [ByteBuffer] = [ByteBuffer()]
        buffers.reserveCapacity(1 + records.count * 3)
        var locations: [RecordLocation] = []
        locations.reserveCapacity(records.count)
        var checksum: UInt32 = 0
        var length = 0
        let segment = segments[current]
        for record in records {
            locations.append(
                RecordLocation(
                    segment: segment.number,
                    offset: segment.end + BatchHeader.length + length,
                    headLength: record.head.readableBytes,
                    bodyLength: record.body.readableBytes
                )
            )
            checksum = crc32c(record.encodedHeader, continuing: checksum)
            length += record.length
            buffers.append(record.encodedHeader)
            if record.head.readableBytes > 0 { buffers.append(record.head) }
            if record.body.readableBytes > 0 { buffers.append(record.body) }
        }
        let header = BatchHeader(
            salt: salt,
            number: nextBatch,
            time: time,
            recordsLength: UInt32(truncatingIfNeeded: length),
            recordCount: UInt32(truncatingIfNeeded: records.count),
            previousChecksum: lastChecksum,
            recordsChecksum: checksum
        )
        buffers[0] = header.encoded()
        // Until the flush has returned, nothing may go on in this file, and no index may be written to it.
        isOpen = false
        let index = index
        self.index = nil
        try segment.file.write(buffers, at: segment.end)
        flushes += 1
        try segment.file.sync()
        isOpen = true
        self.index = index
        self.index?.newestTime = max(index?.newestTime ?? 0, time)
        segments[current].end += BatchHeader.length + length
        nextBatch += 1
        lastChecksum = header.checksum
        return locations
    }

    /// Removes the oldest segment, durably, so that a record never outlives one that cancels it.
    mutating func removeOldest() throws(FileSystemError) {
        guard let oldest = segments.first, segments.count > 1 else { return }
        try fileSystem.unlink(path(oldest.number))
        segments.removeFirst()
        try fileSystem.syncDirectory(directory)
    }
}
