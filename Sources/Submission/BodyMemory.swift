import Synchronization

/// The bytes of message content that all sessions of a process hold in memory, and the cap on them. Beyond it content goes to the queue's
/// disk as it arrives, instead of in pieces that are worth a write, and no new message is begun.
package final class BodyMemory: Sendable {
    /// Bytes.
    package let limit: Int
    private let used = Atomic<Int>(0)

    package init(limit: Int = 64 << 20) { self.limit = limit }

    package var isFull: Bool { used.load(ordering: .relaxed) > limit }

    /// Bytes held now.
    package var bytes: Int { used.load(ordering: .relaxed) }

    func change(by difference: Int) { used.wrappingAdd(difference, ordering: .relaxed) }
}
