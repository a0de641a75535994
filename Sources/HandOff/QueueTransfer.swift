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
        if !begun {
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
            owner.send(.chunk(id, chunk))
        }
    }

    func commit() async throws(HandOffFailure) {
        ended = true
        if begun {
            try await sendChunks()
            owner.send(.commit(id))
        } else {
            owner.send(.message(id, envelope, content ?? ByteBuffer()))
            content = nil
        }
        try await owner.result(of: id)
    }

    func abort() {
        guard !ended else { return }
        ended = true
        if begun { owner.send(.abort(id)) }
    }

    deinit { abort() }
}
