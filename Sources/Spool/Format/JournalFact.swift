import NIOCore
import SMTPCore

/// A record, understood.
enum JournalFact: Sendable, Hashable {
    case message(QueueID, MessageRecord, isInFile: Bool)
    /// The bounce, if there is one, becomes part of the queue in the same moment.
    case outcome(QueueID, DeliveryState, bounce: Bounce?)
    case hold(QueueID)
    case release(QueueID)
    case remove(QueueID)
    case queueIDLimit(UInt64)
    case cleanEnd

    struct Bounce: Sendable, Hashable {
        var id: QueueID
        var message: MessageRecord
    }

    /// nil when the head does not hold what its kind says.
    init?(_ header: RecordHeader, head: ByteBuffer) {
        var head = head
        switch header.kind {
        case .message, .messageInFile:
            guard let message = MessageRecord(parsing: &head) else { return nil }
            let isInFile = header.kind == .messageInFile
            guard isInFile ? message.blocksMatch : message.contentSize == UInt64(header.bodyLength) else { return nil }
            self = .message(header.id, message, isInFile: isInFile)
        case .outcome:
            guard let state = DeliveryState(parsing: &head) else { return nil }
            self = .outcome(header.id, state, bounce: nil)
        case .outcomeWithBounce:
            guard let state = DeliveryState(parsing: &head), let id: UInt64 = head.readField(),
                let message = MessageRecord(parsing: &head), message.contentSize == UInt64(header.bodyLength)
            else { return nil }
            self = .outcome(header.id, state, bounce: Bounce(id: QueueID(rawValue: id), message: message))
        case .hold: self = .hold(header.id)
        case .release: self = .release(header.id)
        case .remove: self = .remove(header.id)
        case .queueIDLimit: self = .queueIDLimit(header.id.rawValue)
        case .cleanEnd: self = .cleanEnd
        }
        guard head.readableBytes == 0 || header.kind.rawValue >= RecordKind.hold.rawValue else { return nil }
    }

    /// The record that says this; `body` is the content of a message or of a bounce.
    func encoded(body: ByteBuffer = ByteBuffer()) -> EncodedRecord {
        switch self {
        case .message(let id, let message, let isInFile):
            return EncodedRecord(isInFile ? .messageInFile : .message, id, head: message.encoded(), body: body)
        case .outcome(let id, let state, let bounce):
            var head = ByteBufferAllocator().buffer(capacity: 64)
            state.encode(into: &head)
            guard let bounce else { return EncodedRecord(.outcome, id, head: head) }
            head.writeField(bounce.id.rawValue)
            bounce.message.encode(into: &head)
            return EncodedRecord(.outcomeWithBounce, id, head: head, body: body)
        case .hold(let id): return EncodedRecord(.hold, id)
        case .release(let id): return EncodedRecord(.release, id)
        case .remove(let id): return EncodedRecord(.remove, id)
        case .queueIDLimit(let limit): return EncodedRecord(.queueIDLimit, QueueID(rawValue: limit))
        case .cleanEnd: return EncodedRecord(.cleanEnd, QueueID(rawValue: 0))
        }
    }
}

extension MessageRecord {
    /// Whether there is a checksum for each block of the content file.
    fileprivate var blocksMatch: Bool {
        UInt64(blockChecksums.count) == (contentSize + UInt64(Self.blockLength) - 1) / UInt64(Self.blockLength)
    }
}
