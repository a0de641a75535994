import NIOCore
import PosternTesting
import SMTPCore
import Spool
import Synchronization

final class RecordingReceipt: AcceptReceipt {
    let result = Mutex<Result<Void, SpoolError>?>(nil)
    private let handler: @Sendable (Result<Void, SpoolError>) -> Void

    init(_ handler: @escaping @Sendable (Result<Void, SpoolError>) -> Void = { _ in }) { self.handler = handler }

    func completed(_ result: Result<Void, SpoolError>) {
        self.result.withLock { $0 = result }
        handler(result)
    }

    var isSuccess: Bool { if case .success = result.withLock({ $0 }) { true } else { false } }
    var error: SpoolError? { if case .failure(let error) = result.withLock({ $0 }) { error } else { nil } }
}

final class RecordingAgent: DeliveryAgent {
    private let list = Mutex<[DeliveryJob]>([])

    func deliver(_ job: DeliveryJob) { list.withLock { $0.append(job) } }

    var jobs: [DeliveryJob] { list.withLock { $0 } }
    func take(_ index: Int = 0) -> DeliveryJob? { list.withLock { index < $0.count ? $0.remove(at: index) : nil } }
}

final class RecordingObserver: SpoolObserver {
    private let list = Mutex<[SpoolEvent]>([])

    func spoolEvent(_ event: SpoolEvent) { list.withLock { $0.append(event) } }

    var events: [SpoolEvent] { list.withLock { $0 } }
    var removed: [QueueID] { events.compactMap { if case .removed(let id) = $0 { id } else { nil } } }
    var hasStopped: Bool { events.contains { if case .acceptingStopped = $0 { true } else { false } } }
    var damages: [String] { events.compactMap { if case .damaged(let text) = $0 { text } else { nil } } }
}

func address(_ text: String) -> Address {
    let parts = text.split(separator: "@")
    return parts.isEmpty ? .null : Address(localPart: String(parts[0]), domain: parts.count > 1 ? String(parts[1]) : nil)
}

func envelope(from sender: String = "sender@example.com", to recipients: [String]) -> Envelope {
    Envelope(sender: address(sender), recipients: recipients.map { Recipient(address: address($0)) })
}

/// Content that tells which message it belongs to at every place.
func content(_ id: QueueID, _ length: Int) -> ByteBuffer {
    let line = "This is a line of message \(id).\r\n"
    var bytes = ByteBuffer()
    while bytes.readableBytes < length { bytes.writeString(line) }
    return bytes.readSlice(length: length) ?? bytes
}

func read(_ content: any MessageContent) throws -> ByteBuffer {
    if let bytes = content.inMemory { return bytes }
    var all = ByteBuffer()
    while all.readableBytes < content.size {
        var part = try content.read(offset: all.readableBytes, length: 100_000)
        guard part.readableBytes > 0 else { return all }
        all.writeBuffer(&part)
    }
    return all
}
