import NIOCore
import SMTPCore

/// What a segment's bytes say. Pure: the same bytes give the same answer, and no bytes can make it trap.
struct SegmentScan: Sendable {
    struct Record: Sendable {
        var fact: JournalFact
        var header: RecordHeader
        /// From the start of the file.
        var offset: Int
    }

    struct Damage: Sendable, Hashable {
        var offset: Int
        var length: Int
        var what: String
        /// The message it is about, if that can still be read.
        var id: QueueID?
        /// What of it is still there: the envelope without the content, or only the id of a record that was an accept.
        var remains = Remains.nothing

        enum Remains: Sendable, Hashable {
            case nothing, envelope, acceptedID
        }
    }

    /// In the order they were written.
    var records: [Record] = []
    /// Places where something was that can no longer be read.
    var damages: [Damage] = []
    /// Behind the last batch; where a torn one was cut, if ``isTorn``.
    var end: Int
    /// Where the last batch begins; the start of the file if there is none.
    var lastBatch = 0
    /// An unfinished last batch was found and cut. It had never been acknowledged.
    var isTorn = false
    /// The checksum and number that the next batch goes on from.
    var lastChecksum: UInt32
    var nextBatch: UInt64
    /// The latest time of any batch; 0 if there is none.
    var newestTime: Double = 0

    /// - Parameter sealedAt: where the successor says that this segment ends; nil for the last segment, the only one that can be torn.
    init(_ bytes: ByteBuffer, header: SegmentHeader, sealedAt: Int?) {
        end = header.length
        lastChecksum = header.previousChecksum
        nextBatch = header.firstBatch
        newestTime = header.created
        let limit = min(sealedAt ?? bytes.readableBytes, bytes.readableBytes)
        guard limit >= header.length, let bytes = bytes.getSlice(at: bytes.readerIndex, length: limit) else {
            damages.append(Damage(offset: limit, length: (sealedAt ?? 0) - limit, what: "segment is shorter than its header"))
            end = max(sealedAt ?? 0, header.length)
            return
        }
        var position = header.length
        while position < limit {
            if let (batch, next) = Self.wholeBatch(bytes, at: position, salt: header.salt) {
                take(batch.header, batch.records, at: position)
                lastBatch = position
                position = next
                end = next
                continue
            }
            let following = Self.nextBatchHeader(bytes, after: position, salt: header.salt)
            if sealedAt == nil, following == nil {
                // The index of a segment that was about to be sealed: everything before it is whole.
                if SegmentIndex.begins(bytes, at: position) { return }
                // One batch is written at a time, and the next one only after a flush: what cannot be read and is followed by nothing
                // was never flushed. Its records are not believed one by one, as blocks reach the disk in any order.
                isTorn = true
                return
            }
            salvage(bytes, from: position, to: following ?? limit, salt: header.salt)
            position = following ?? limit
            end = position
        }
        if let sealedAt, limit < sealedAt {
            damages.append(Damage(offset: limit, length: sealedAt - limit, what: "segment is cut short"))
            end = sealedAt
        }
    }

    private struct Batch {
        var header: BatchHeader
        var records: [Record]
    }

    private mutating func take(_ header: BatchHeader, _ found: [Record], at position: Int) {
        if header.number != nextBatch || header.previousChecksum != lastChecksum, damages.isEmpty {
            damages.append(Damage(offset: position, length: 0, what: "batch \(header.number) follows no batch that is here"))
        }
        records += found
        nextBatch = header.number &+ 1
        lastChecksum = header.checksum
        newestTime = max(newestTime, header.time)
    }

    /// The batch at `position`, only if every checksum in it is right.
    private static func wholeBatch(_ bytes: ByteBuffer, at position: Int, salt: UInt64) -> (Batch, next: Int)? {
        guard let slice = bytes.getSlice(at: position, length: min(BatchHeader.length, bytes.readableBytes - position)),
            let header = BatchHeader(parsing: slice, salt: salt)
        else { return nil }
        let start = position + BatchHeader.length
        let end = start + Int(header.recordsLength)
        guard end <= bytes.readableBytes else { return nil }
        var records: [Record] = []
        var checksum: UInt32 = 0
        var offset = start
        while offset < end {
            guard let record = record(bytes, at: offset, end: end, checksum: &checksum) else { return nil }
            records.append(record)
            offset += record.header.recordLength
        }
        guard records.count == header.recordCount, checksum == header.recordsChecksum else { return nil }
        return (Batch(header: header, records: records), end)
    }

    /// What can be read of a record.
    private enum Found {
        case whole(Record)
        /// The content fails its checksum.
        case withoutBody(Record)
        /// The facts fail theirs, or mean nothing.
        case headerOnly(RecordHeader)
        case nothing
    }

    private static func find(_ bytes: ByteBuffer, at offset: Int, end: Int) -> (found: Found, header: ByteBuffer) {
        guard end - offset >= RecordHeader.length, let slice = bytes.getSlice(at: offset, length: RecordHeader.length),
            let header = RecordHeader(parsing: slice), header.recordLength <= end - offset,
            let head = bytes.getSlice(at: offset + RecordHeader.length, length: Int(header.headLength)),
            let body = bytes.getSlice(at: offset + RecordHeader.length + Int(header.headLength), length: Int(header.bodyLength))
        else { return (.nothing, ByteBuffer()) }
        guard crc32c(head) == header.headChecksum, let fact = JournalFact(header, head: head) else { return (.headerOnly(header), slice) }
        let record = Record(fact: fact, header: header, offset: offset)
        return (crc32c(body) == header.bodyChecksum ? .whole(record) : .withoutBody(record), slice)
    }

    /// The record at `offset`, if it ends by `end` and all its checksums are right.
    private static func record(_ bytes: ByteBuffer, at offset: Int, end: Int, checksum: inout UInt32) -> Record? {
        guard case (.whole(let record), let header) = find(bytes, at: offset, end: end) else { return nil }
        checksum = crc32c(header, continuing: checksum)
        return record
    }

    /// Where the next readable batch header begins. Only this server can have written one, since no one else knows the salt.
    private static func nextBatchHeader(_ bytes: ByteBuffer, after position: Int, salt: UInt64) -> Int? {
        let first = UInt8(truncatingIfNeeded: salt)
        let view = bytes.readableBytesView
        var start = view.startIndex + position + 1
        while start < view.endIndex, let index = view[start...].firstIndex(of: first) {
            let offset = index - view.startIndex
            let length = min(BatchHeader.length, bytes.readableBytes - offset)
            if let slice = bytes.getSlice(at: bytes.readerIndex + offset, length: length), BatchHeader(parsing: slice, salt: salt) != nil {
                return offset
            }
            start = index + 1
        }
        return nil
    }

    /// Keeps the readable records of a damaged batch, and notes the rest.
    private mutating func salvage(_ bytes: ByteBuffer, from position: Int, to end: Int, salt: UInt64) {
        var offset = position
        if let slice = bytes.getSlice(at: position, length: min(BatchHeader.length, end - position)),
            let header = BatchHeader(parsing: slice, salt: salt)
        {
            take(header, [], at: position)
            offset += BatchHeader.length
        } else {
            offset += BatchHeader.length
            nextBatch &+= 1
        }
        while offset < end {
            switch Self.find(bytes, at: offset, end: end).found {
            case .whole(let record):
                records.append(record)
                offset += record.header.recordLength
            case .withoutBody(let record):
                records.append(record)
                noteDamage(record.header, offset, record.fact.contentID, .envelope, "content of \(record.fact.contentID) is unreadable")
                offset += record.header.recordLength
            case .headerOnly(let header):
                let isAccept = header.kind == .message || header.kind == .messageInFile
                let what = "\(header.kind) record of \(header.id) is unreadable"
                noteDamage(header, offset, isAccept ? header.id : nil, isAccept ? .acceptedID : .nothing, what)
                offset += header.recordLength
            case .nothing:
                damages.append(Damage(offset: offset, length: end - offset, what: "records are unreadable"))
                return
            }
        }
        if damages.isEmpty { damages.append(Damage(offset: position, length: end - position, what: "batch header is unreadable")) }
    }

    private mutating func noteDamage(_ header: RecordHeader, _ offset: Int, _ id: QueueID?, _ remains: Damage.Remains, _ what: String) {
        damages.append(Damage(offset: offset, length: header.recordLength, what: what, id: id, remains: remains))
    }
}

extension JournalFact {
    /// The message whose content is the record's body.
    fileprivate var contentID: QueueID {
        switch self {
        case .message(let id, _, _), .hold(let id), .release(let id), .remove(let id): id
        case .outcome(let id, _, let bounce): bounce?.id ?? id
        case .queueIDLimit(let limit): QueueID(rawValue: limit)
        case .cleanEnd: QueueID(rawValue: 0)
        }
    }
}
