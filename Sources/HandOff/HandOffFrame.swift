package import NIOCore
package import SMTPCore

/// One frame between the smtpd role and the queue role: a 32-bit length (of what follows), a kind, and the fields. The reader treats the
/// other side as hostile: lengths are bounded and a malformed frame ends the connection.
package enum HandOffFrame: Sendable {
    // From the smtpd role.
    /// A whole message in one frame, committed as it is read.
    case message(QueueID, Envelope, ByteBuffer)
    case begin(QueueID, Envelope)
    case chunk(QueueID, ByteBuffer)
    /// Replaces the envelope of a message that has begun (what a rule at the end of data decided).
    case amend(QueueID, Envelope)
    case commit(QueueID)
    case abort(QueueID)
    case requestQueueIDs
    /// Deferred mail for this domain is to be tried now (ETRN). Not answered.
    case flush(domain: String)

    // From the queue role.
    /// `count` ids from the first one on belong to this connection.
    case queueIDs(first: QueueID, count: UInt32)
    /// Results of commits, in the order in which they became known.
    case completed([(id: QueueID, result: HandOffResult)])
    case storage(isShort: Bool)
    /// The queue role is about to be replaced: no new message on this connection; the other side closes it when all is finished.
    case draining
}

/// The outcome of a commit in one byte.
package enum HandOffResult: UInt8, Sendable, Hashable {
    case stored = 0
    case insufficientStorage = 1
    case writeError = 2
}

/// A frame that no correct peer sends.
package struct MalformedFrame: Error {}

extension HandOffFrame {
    /// Bodies up to this size travel inside one frame and one journal record.
    package static let wholeMessageLimit = 64 * 1024
    /// The largest frame: an envelope of very many recipients and a whole small message.
    static let maximumLength = 32 << 20
    /// What the recipients of one message may take (``SMTPCore/Recipient/encodedLength``). A frame that is too large would end the
    /// connection, and with it other clients' messages.
    package static let recipientsLimit = 16 << 20
    /// Messages of one connection that may be arriving in chunks, each with a file of its own, and what their envelopes may take together
    /// (``SMTPCore/Envelope/encodedLength``; a single one may take more). The smtpd role begins no more until one ends; one that does all
    /// the same is refused for want of space.
    package static let openMessageLimit = 4_096
    static let openEnvelopesLimit = 64 << 20
    /// RFC 1035 section 2.3.4; an address literal is shorter.
    static let maximumDomainLength = 255

    private enum Kind: UInt8 {
        case message = 1
        case begin, chunk, commit, abort, requestQueueIDs, flush, amend
        case queueIDs = 64
        case completed, storage, draining
    }

    package func encode(into out: inout ByteBuffer) {
        let start = out.writerIndex
        out.writeInteger(UInt32(0))
        switch self {
        case .message(let id, let envelope, let content):
            out.write(Kind.message.rawValue, id)
            envelope.encode(into: &out)
            out.writeImmutableBuffer(content)
        case .begin(let id, let envelope):
            out.write(Kind.begin.rawValue, id)
            envelope.encode(into: &out)
        case .chunk(let id, let bytes):
            out.write(Kind.chunk.rawValue, id)
            out.writeImmutableBuffer(bytes)
        case .amend(let id, let envelope):
            out.write(Kind.amend.rawValue, id)
            envelope.encode(into: &out)
        case .commit(let id): out.write(Kind.commit.rawValue, id)
        case .abort(let id): out.write(Kind.abort.rawValue, id)
        case .requestQueueIDs: out.writeInteger(Kind.requestQueueIDs.rawValue)
        case .flush(let domain):
            out.writeInteger(Kind.flush.rawValue)
            out.writeString(domain)
        case .queueIDs(let first, let count):
            out.write(Kind.queueIDs.rawValue, first)
            out.writeInteger(count)
        case .completed(let results):
            out.writeInteger(Kind.completed.rawValue)
            for (id, result) in results { out.write(id, result.rawValue) }
        case .storage(let isShort):
            out.writeInteger(Kind.storage.rawValue)
            out.writeInteger(UInt8(isShort ? 1 : 0))
        case .draining: out.writeInteger(Kind.draining.rawValue)
        }
        out.setInteger(UInt32(out.writerIndex - start - 4), at: start)
    }

    /// Takes one frame off the front of `input`; nil while it is incomplete.
    package static func decode(from input: inout ByteBuffer) throws(MalformedFrame) -> HandOffFrame? {
        guard let length = input.getInteger(at: input.readerIndex, as: UInt32.self) else { return nil }
        guard length >= 1, length <= maximumLength else { throw MalformedFrame() }
        guard input.readableBytes >= 4 + Int(length) else { return nil }
        input.moveReaderIndex(forwardBy: 4)
        guard var body = input.readSlice(length: Int(length)), let code: UInt8 = body.readInteger(), let kind = Kind(rawValue: code) else {
            throw MalformedFrame()
        }
        return try decode(kind, from: &body)
    }

    private static func decode(_ kind: Kind, from body: inout ByteBuffer) throws(MalformedFrame) -> HandOffFrame {
        switch kind {
        case .message:
            let id = try body.readQueueID()
            return .message(id, try Envelope(from: &body), body)
        case .begin:
            let id = try body.readQueueID()
            return .begin(id, try Envelope(from: &body))
        case .amend:
            let id = try body.readQueueID()
            return .amend(id, try Envelope(from: &body))
        case .chunk: return .chunk(try body.readQueueID(), body)
        case .commit: return .commit(try body.readQueueID())
        case .abort: return .abort(try body.readQueueID())
        case .requestQueueIDs: return .requestQueueIDs
        case .flush:
            guard (1...maximumDomainLength).contains(body.readableBytes),
                let domain = String(validating: body.readableBytesView, as: UTF8.self)
            else { throw MalformedFrame() }
            return .flush(domain: domain)
        case .queueIDs:
            let first = try body.readQueueID()
            guard let count: UInt32 = body.readInteger(), first.rawValue <= UInt64.max - UInt64(count) else { throw MalformedFrame() }
            return .queueIDs(first: first, count: count)
        case .completed:
            var results: [(id: QueueID, result: HandOffResult)] = []
            while body.readableBytes > 0 {
                let id = try body.readQueueID()
                guard let code: UInt8 = body.readInteger(), let result = HandOffResult(rawValue: code) else { throw MalformedFrame() }
                results.append((id, result))
            }
            return .completed(results)
        case .storage:
            guard let flag: UInt8 = body.readInteger() else { throw MalformedFrame() }
            return .storage(isShort: flag != 0)
        case .draining: return .draining
        }
    }
}

extension ByteBuffer {
    fileprivate mutating func write(_ kind: UInt8, _ id: QueueID) {
        writeInteger(kind)
        writeInteger(id.rawValue)
    }

    fileprivate mutating func write(_ id: QueueID, _ result: UInt8) {
        writeInteger(id.rawValue)
        writeInteger(result)
    }

    fileprivate mutating func readQueueID() throws(MalformedFrame) -> QueueID {
        guard let raw: UInt64 = readInteger() else { throw MalformedFrame() }
        return QueueID(rawValue: raw)
    }
}
