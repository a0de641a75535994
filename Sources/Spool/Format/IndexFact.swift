import NIOCore
import SMTPCore

/// What the queue keeps in mind of a record: enough to schedule a message and to find it again. A sealed segment ends with these, so that
/// a start reads no envelopes and no content.
enum IndexFact: Sendable, Hashable {
    /// `RecordLocation` is that of the record the message is in.
    case message(QueueID, Message, RecordLocation)
    /// Someone is left to be served.
    case state(QueueID, attempts: UInt32, nextAttempt: Double, RecordLocation)
    /// Delivered, returned or removed.
    case gone(QueueID)
    case hold(QueueID)
    case release(QueueID)
    case queueIDLimit(UInt64)
    case cleanEnd

    struct Message: Sendable, Hashable {
        var generation: UInt32
        var attempts: UInt32
        var size: UInt64
        var arrival: Double
        var nextAttempt: Double
        var isHeld: Bool
        var isInFile: Bool
        var senderIsNull: Bool

        init(_ record: MessageRecord, isInFile: Bool) {
            self.init(
                generation: record.generation,
                attempts: record.state.attempts,
                size: record.contentSize,
                arrival: record.arrival,
                nextAttempt: record.state.nextAttempt,
                isHeld: record.isHeld,
                isInFile: isInFile,
                senderIsNull: record.envelope.sender.isNull
            )
        }

        init(
            generation: UInt32,
            attempts: UInt32,
            size: UInt64,
            arrival: Double,
            nextAttempt: Double,
            isHeld: Bool,
            isInFile: Bool,
            senderIsNull: Bool
        ) {
            self.generation = generation
            self.attempts = attempts
            self.size = size
            self.arrival = arrival
            self.nextAttempt = nextAttempt
            self.isHeld = isHeld
            self.isInFile = isInFile
            self.senderIsNull = senderIsNull
        }
    }

    private enum Tag: UInt8 {
        case message = 1
        case state, gone, hold, release, queueIDLimit, cleanEnd
    }

    func encode(into out: inout ByteBuffer) {
        func head(_ tag: Tag, _ id: QueueID) {
            out.writeField(tag.rawValue)
            out.writeField(id.rawValue)
        }
        func place(_ location: RecordLocation) {
            out.writeField(UInt32(truncatingIfNeeded: location.offset))
            out.writeField(UInt32(truncatingIfNeeded: location.headLength))
            out.writeField(UInt32(truncatingIfNeeded: location.bodyLength))
        }
        switch self {
        case .message(let id, let message, let location):
            head(.message, id)
            place(location)
            out.writeField(message.generation)
            out.writeField(message.attempts)
            out.writeField(message.size)
            out.writeField(message.arrival)
            out.writeField(message.nextAttempt)
            out.writeField(UInt8((message.isHeld ? 1 : 0) | (message.isInFile ? 2 : 0) | (message.senderIsNull ? 4 : 0)))
        case .state(let id, let attempts, let nextAttempt, let location):
            head(.state, id)
            place(location)
            out.writeField(attempts)
            out.writeField(nextAttempt)
        case .gone(let id): head(.gone, id)
        case .hold(let id): head(.hold, id)
        case .release(let id): head(.release, id)
        case .queueIDLimit(let limit): head(.queueIDLimit, QueueID(rawValue: limit))
        case .cleanEnd: head(.cleanEnd, QueueID(rawValue: 0))
        }
    }

    /// nil at the first byte that no writer would have written.
    init?(parsing bytes: inout ByteBuffer, segment: UInt64) {
        guard let byte: UInt8 = bytes.readField(), let tag = Tag(rawValue: byte), let number: UInt64 = bytes.readField() else { return nil }
        let id = QueueID(rawValue: number)
        switch tag {
        case .message:
            guard let location = RecordLocation(parsing: &bytes, segment: segment), let generation: UInt32 = bytes.readField(),
                let attempts: UInt32 = bytes.readField(), let size: UInt64 = bytes.readField(), size <= UInt64(Int.max / 2),
                let arrival = bytes.readDouble(), let nextAttempt = bytes.readDouble(), let flags: UInt8 = bytes.readField(), flags < 8
            else { return nil }
            let message = Message(
                generation: generation,
                attempts: attempts,
                size: size,
                arrival: arrival,
                nextAttempt: nextAttempt,
                isHeld: flags & 1 != 0,
                isInFile: flags & 2 != 0,
                senderIsNull: flags & 4 != 0
            )
            self = .message(id, message, location)
        case .state:
            guard let location = RecordLocation(parsing: &bytes, segment: segment), let attempts: UInt32 = bytes.readField(),
                let nextAttempt = bytes.readDouble()
            else { return nil }
            self = .state(id, attempts: attempts, nextAttempt: nextAttempt, location)
        case .gone: self = .gone(id)
        case .hold: self = .hold(id)
        case .release: self = .release(id)
        case .queueIDLimit: self = .queueIDLimit(number)
        case .cleanEnd: self = .cleanEnd
        }
    }
}

extension RecordLocation {
    fileprivate init?(parsing bytes: inout ByteBuffer, segment: UInt64) {
        guard let offset: UInt32 = bytes.readField(), let head: UInt32 = bytes.readField(), let body: UInt32 = bytes.readField() else {
            return nil
        }
        self.init(segment: segment, offset: Int(offset), headLength: Int(head), bodyLength: Int(body))
    }
}

extension JournalFact {
    /// What the queue keeps in mind of this record, in order: an outcome with a bounce says two things.
    func forEachIndexFact(at location: RecordLocation, _ body: (IndexFact) -> Void) {
        switch self {
        case .message(let id, let record, let isInFile):
            body(.message(id, IndexFact.Message(record, isInFile: isInFile), location))
        case .outcome(let id, let state, let bounce):
            if state.isDone {
                body(.gone(id))
            } else {
                body(.state(id, attempts: state.attempts, nextAttempt: state.nextAttempt, location))
            }
            if let bounce { body(.message(bounce.id, IndexFact.Message(bounce.message, isInFile: false), location)) }
        case .hold(let id): body(.hold(id))
        case .release(let id): body(.release(id))
        case .remove(let id): body(.gone(id))
        case .queueIDLimit(let limit): body(.queueIDLimit(limit))
        case .cleanEnd: body(.cleanEnd)
        }
    }
}
