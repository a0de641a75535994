import NIOCore
import SMTPCore

/// A message on its way through a ``QueueHandOff``: whole in one frame while it is small, in chunks once it is not.
final class QueueTransfer: MessageTransfer {
    private let owner: QueueHandOff
    private let id: QueueID
    private var envelope: Envelope
    private var content: ByteBuffer?
    /// Where the first chunk went, and all others must go.
    private var connection: HandOffConnection?
    private var ended = false

    init(_ owner: QueueHandOff, _ id: QueueID, _ envelope: Envelope) {
        self.owner = owner
        self.id = id
        self.envelope = envelope
    }

    func write(_ bytes: ByteBuffer) async throws(HandOffFailure) {
        if content == nil { content = bytes } else { content?.writeImmutableBuffer(bytes) }
        guard let size = content?.readableBytes, size > HandOffFrame.wholeMessageLimit else { return }
        try await relieve()
    }

    var heldBytes: Int { content?.storageCapacity ?? 0 }

    func relieve() async throws(HandOffFailure) {
        guard content != nil else { return }
        while connection == nil {
            let candidate = try await owner.usableConnection()
            if try await candidate.begin(id, envelope) { connection = candidate }
        }
        try await sendChunks()
    }

    private func sendChunks() async throws(HandOffFailure) {
        guard var rest = content, let connection else { return }
        content = nil
        while let chunk = rest.readSlice(length: min(rest.readableBytes, HandOffFrame.wholeMessageLimit)), chunk.readableBytes > 0 {
            try await connection.send(chunk: chunk, of: id)
        }
    }

    func amend(_ envelope: Envelope) {
        self.envelope = envelope
        connection?.send(.amend(id, envelope))
    }

    func commit() async throws(HandOffFailure) {
        ended = true
        if let connection {
            try await sendChunks()
            try await connection.commit(id, with: .commit(id))
        } else {
            // Not begun anywhere: a queue role that was replaced meanwhile makes no difference.
            let frame = HandOffFrame.message(id, envelope, content ?? ByteBuffer())
            content = nil
            try await owner.usableConnection().commit(id, with: frame)
        }
    }

    func abort() {
        guard !ended else { return }
        ended = true
        connection?.abort(id)
    }

    deinit { abort() }
}
