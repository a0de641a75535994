import NIOCore
import SMTPCore

/// A message on its way through a ``QueueHandOff``: whole in one frame while it is small, in chunks once it is not.
final class QueueTransfer: MessageTransfer {
    private let owner: QueueHandOff
    private let id: QueueID
    private let envelope: Envelope
    private var content: ByteBuffer?
    private var begun = false
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
        if !begun {
            try checkConnection()
            begun = true
            owner.send(.begin(id, envelope))
        }
        try await sendChunks()
    }

    private func sendChunks() async throws(HandOffFailure) {
        guard var rest = content else { return }
        content = nil
        while let chunk = rest.readSlice(length: min(rest.readableBytes, HandOffFrame.wholeMessageLimit)), chunk.readableBytes > 0 {
            try await owner.waitForRoom()
            try checkConnection()
            owner.send(.chunk(id, chunk))
        }
    }

    /// The queue role may have been restarted since the id was leased, or the first chunk sent.
    private func checkConnection() throws(HandOffFailure) {
        if !owner.isLeasedHere(id) { throw .unavailable("the queue role ended while the message was arriving") }
    }

    func commit() async throws(HandOffFailure) {
        ended = true
        if begun {
            try await sendChunks()
            try checkConnection()
            owner.send(.commit(id))
        } else {
            try checkConnection()
            owner.send(.message(id, envelope, content ?? ByteBuffer()))
            content = nil
        }
        try await owner.result(of: id)
    }

    func abort() {
        guard !ended else { return }
        ended = true
        if begun, owner.isLeasedHere(id) { owner.send(.abort(id)) }
    }

    deinit { abort() }
}
