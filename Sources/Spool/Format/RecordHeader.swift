import NIOCore
import SMTPCore

/// What a record says.
enum RecordKind: UInt8, Sendable, Hashable {
    /// A message, content in the record's body.
    case message = 1
    /// A message whose content is in `content/ID`.
    case messageInFile = 2
    /// What an attempt came to.
    case outcome = 3
    /// The same, and the bounce it caused, whose content is the record's body.
    case outcomeWithBounce = 4
    case hold = 5
    case release = 6
    /// Removed by an administrator.
    case remove = 7
    /// No queue id at or above the record's id has been given out.
    case queueIDLimit = 8
    /// The queue was closed with nothing in delivery.
    case cleanEnd = 9
}

/// The fixed part of a record: `head` holds the facts, `body` the content. They have checksums of their own, so that an envelope can be
/// read without its content.
struct RecordHeader: Sendable, Hashable {
    static let length = 32

    var kind: RecordKind
    var id: QueueID
    var headLength: UInt32
    var bodyLength: UInt32
    var headChecksum: UInt32
    var bodyChecksum: UInt32

    /// Bytes of the whole record.
    var recordLength: Int { Self.length + Int(headLength) + Int(bodyLength) }

    init?(parsing bytes: ByteBuffer) {
        var bytes = bytes
        guard let checked = bytes.getSlice(at: bytes.readerIndex, length: Self.length - 4),
            let kindByte: UInt8 = bytes.readField(), let kind = RecordKind(rawValue: kindByte), bytes.readField(UInt8.self) != nil,
            bytes.readField(UInt16.self) != nil, let id: UInt64 = bytes.readField(), let headLength: UInt32 = bytes.readField(),
            let bodyLength: UInt32 = bytes.readField(), let head: UInt32 = bytes.readField(), let body: UInt32 = bytes.readField(),
            let checksum: UInt32 = bytes.readField(), checksum == crc32c(checked)
        else { return nil }
        self.kind = kind
        self.id = QueueID(rawValue: id)
        self.headLength = headLength
        self.bodyLength = bodyLength
        headChecksum = head
        bodyChecksum = body
    }

    init(kind: RecordKind, id: QueueID, head: ByteBuffer, body: ByteBuffer) {
        self.kind = kind
        self.id = id
        headLength = UInt32(truncatingIfNeeded: head.readableBytes)
        bodyLength = UInt32(truncatingIfNeeded: body.readableBytes)
        headChecksum = crc32c(head)
        bodyChecksum = crc32c(body)
    }

    func encoded() -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: Self.length)
        out.writeField(kind.rawValue)
        out.writeField(UInt8(0))
        out.writeField(UInt16(0))
        out.writeField(id.rawValue)
        out.writeField(headLength)
        out.writeField(bodyLength)
        out.writeField(headChecksum)
        out.writeField(bodyChecksum)
        let checksum = crc32c(out)
        out.writeField(checksum)
        return out
    }
}

/// A record ready to be written.
struct EncodedRecord: Sendable {
    var header: RecordHeader
    var encodedHeader: ByteBuffer
    var head: ByteBuffer
    var body: ByteBuffer

    var length: Int { header.recordLength }

    init(_ kind: RecordKind, _ id: QueueID, head: ByteBuffer = ByteBuffer(), body: ByteBuffer = ByteBuffer()) {
        header = RecordHeader(kind: kind, id: id, head: head, body: body)
        encodedHeader = header.encoded()
        self.head = head
        self.body = body
    }
}
