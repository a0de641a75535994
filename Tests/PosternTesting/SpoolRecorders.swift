package import NIOCore
package import SMTPCore
package import Spool
import Synchronization

// What the spool calls, for tests: it keeps what it is told.

package final class RecordingReceipt: AcceptReceipt {
    private let outcome = Mutex<Result<Void, SpoolError>?>(nil)
    private let handler: @Sendable (Result<Void, SpoolError>) -> Void

    package init(_ handler: @escaping @Sendable (Result<Void, SpoolError>) -> Void = { _ in }) { self.handler = handler }

    package func completed(_ result: Result<Void, SpoolError>) {
        outcome.withLock { $0 = result }
        handler(result)
    }

    /// nil while there is none.
    package var result: Result<Void, SpoolError>? { outcome.withLock { $0 } }
    package var isSuccess: Bool { if case .success = result { true } else { false } }
    package var error: SpoolError? { if case .failure(let error) = result { error } else { nil } }
}

/// Keeps jobs until they are taken, or gives each to its handler.
package final class RecordingAgent: DeliveryAgent {
    private let list = Mutex<[DeliveryJob]>([])
    private let handler: (@Sendable (DeliveryJob) -> Void)?

    package init(_ handler: (@Sendable (DeliveryJob) -> Void)? = nil) { self.handler = handler }

    package func deliver(_ job: DeliveryJob) {
        if let handler { handler(job) } else { list.withLock { $0.append(job) } }
    }

    package var jobs: [DeliveryJob] { list.withLock { $0 } }
    package func take(_ index: Int = 0) -> DeliveryJob? { list.withLock { index < $0.count ? $0.remove(at: index) : nil } }
}

package final class RecordingObserver: SpoolObserver {
    private let list = Mutex<[SpoolEvent]>([])

    package init() {}

    package func spoolEvent(_ event: SpoolEvent) { list.withLock { $0.append(event) } }

    package var events: [SpoolEvent] { list.withLock { $0 } }
    package var removed: [QueueID] { events.compactMap { if case .removed(let id) = $0 { id } else { nil } } }
    package var hasStopped: Bool { events.contains { if case .acceptingStopped = $0 { true } else { false } } }
    package var damages: [String] { events.compactMap { if case .damaged(let text) = $0 { text } else { nil } } }

    package func take() -> [SpoolEvent] {
        list.withLock { list in
            defer { list = [] }
            return list
        }
    }
}

package func address(_ text: String) -> Address {
    let parts = text.split(separator: "@")
    return parts.isEmpty ? .null : Address(localPart: String(parts[0]), domain: parts.count > 1 ? String(parts[1]) : nil)
}

package func envelope(from sender: String = "sender@example.com", to recipients: [String]) -> Envelope {
    Envelope(sender: address(sender), recipients: recipients.map { Recipient(address: address($0)) })
}

/// Content that tells which message it belongs to at every place.
package func content(_ id: QueueID, _ length: Int) -> ByteBuffer {
    let line = ByteBuffer(string: "This is a line of message \(id).\r\n")
    var bytes = ByteBuffer()
    bytes.reserveCapacity(length + line.readableBytes)
    while bytes.readableBytes < length { bytes.writeImmutableBuffer(line) }
    return bytes.readSlice(length: length) ?? bytes
}

/// All of it.
package func read(_ content: any MessageContent) throws -> ByteBuffer {
    if let bytes = content.inMemory { return bytes }
    var all = ByteBuffer()
    while all.readableBytes < content.size {
        var part = try content.read(offset: all.readableBytes, length: 100_000)
        guard part.readableBytes > 0 else { return all }
        all.writeBuffer(&part)
    }
    return all
}
