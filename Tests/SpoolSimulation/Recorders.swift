import NIOCore
import SMTPCore
import Spool
import Synchronization

// The schedule runs on one thread, as the spool does in manual mode; what the spool calls is declared as if it did not.

final class Receipt: AcceptReceipt {
    private let handler: @Sendable (Result<Void, SpoolError>) -> Void

    init(_ handler: @escaping @Sendable (Result<Void, SpoolError>) -> Void) { self.handler = handler }

    func completed(_ result: Result<Void, SpoolError>) { handler(result) }
}

final class Agent: DeliveryAgent {
    private let handler: @Sendable (DeliveryJob) -> Void

    init(_ handler: @escaping @Sendable (DeliveryJob) -> Void) { self.handler = handler }

    func deliver(_ job: DeliveryJob) { handler(job) }
}

/// Gathers events until they are taken.
final class EventLog: SpoolObserver {
    private let list = Mutex<[SpoolEvent]>([])

    func spoolEvent(_ event: SpoolEvent) { list.withLock { $0.append(event) } }

    func take() -> [SpoolEvent] {
        list.withLock { list in
            defer { list = [] }
            return list
        }
    }
}

/// Content that tells at every place which message it belongs to.
func content(_ id: QueueID, _ length: Int) -> ByteBuffer {
    let line = ByteBuffer(string: "This is a line of message \(id).\r\n")
    var bytes = ByteBuffer()
    bytes.reserveCapacity(length + line.readableBytes)
    while bytes.readableBytes < length { bytes.writeImmutableBuffer(line) }
    return bytes.readSlice(length: length) ?? bytes
}

func whole(_ content: any MessageContent) throws -> ByteBuffer {
    if let bytes = content.inMemory { return bytes }
    var all = ByteBuffer()
    while all.readableBytes < content.size {
        var part = try content.read(offset: all.readableBytes, length: 100_000)
        guard part.readableBytes > 0 else { return all }
        all.writeBuffer(&part)
    }
    return all
}

func address(_ text: String) -> Address {
    let parts = text.split(separator: "@")
    return parts.isEmpty ? .null : Address(localPart: String(parts[0]), domain: parts.count > 1 ? String(parts[1]) : nil)
}

func envelope(from sender: String = "sender@example.com", to recipients: [String]) -> Envelope {
    Envelope(sender: address(sender), recipients: recipients.map { Recipient(address: address($0)) })
}
