import HandOff
import NIOCore
import SMTPCore
import Spool
import Synchronization

/// The hand-off's messages, put into the spool.
final class QueueIntake: MessageIntake {
    private let spool: Spool
    private let clock: any SpoolClock
    private let onFlush: @Sendable (String) -> Void
    /// Ids of queue roles before this one that have been used since it began. Each is that of a session older than this process.
    private let earlier = Mutex<Set<QueueID>>([])
    private static let earlierLimit = 100_000

    /// - Parameter onFlush: takes note of a domain whose deferred mail is to be tried.
    init(spool: Spool, clock: any SpoolClock, onFlush: @escaping @Sendable (String) -> Void) {
        self.spool = spool
        self.onFlush = onFlush
        self.clock = clock
    }

    func claimEarlier(_ id: QueueID) -> Bool {
        guard id < spool.firstQueueID else { return false }
        return earlier.withLock { $0.count < Self.earlierLimit && $0.insert(id).inserted }
    }

    func leaseQueueIDs(_ count: UInt32, completion: @escaping @Sendable (Range<UInt64>?) -> Void) {
        spool.reserveQueueIDs(Int(count)) { completion(try? $0.get()) }
    }

    func accept(_ id: QueueID, _ envelope: Envelope, _ content: ByteBuffer, receipt: IntakeReceipt) {
        let message = IncomingMessage(id: id, envelope: envelope, content: content, arrival: clock.wallTime())
        spool.accept(message, receipt: Receipt(receipt))
    }

    func begin(_ id: QueueID, _ envelope: Envelope) -> any LargeMessageIntake {
        LargeIntake(writer: spool.beginLarge(id), envelope: envelope, clock: clock)
    }

    var storageIsShort: Bool { spool.storageIsShort }

    func flush(domain: String) { onFlush(domain) }

    /// Translates the spool's verdict into the hand-off's byte.
    final class Receipt: AcceptReceipt {
        private let receipt: IntakeReceipt

        init(_ receipt: IntakeReceipt) { self.receipt = receipt }

        func completed(_ result: Result<Void, SpoolError>) {
            switch result {
            case .success: receipt.completed(.stored)
            case .failure(.insufficientStorage): receipt.completed(.insufficientStorage)
            case .failure: receipt.completed(.writeError)
            }
        }
    }

    /// A large message on its way to its content file.
    final class LargeIntake: LargeMessageIntake {
        private let writer: ContentWriter
        private var envelope: Envelope
        private let clock: any SpoolClock

        init(writer: ContentWriter, envelope: Envelope, clock: any SpoolClock) {
            self.writer = writer
            self.envelope = envelope
            self.clock = clock
        }

        // An error is not reported here: it ends the message, and the commit's receipt says so.
        func append(_ bytes: ByteBuffer, taken: @escaping @Sendable () -> Void) { writer.append(bytes) { _ in taken() } }

        func amend(_ envelope: Envelope) { self.envelope = envelope }

        func commit(receipt: IntakeReceipt) { writer.commit(envelope, arrival: clock.wallTime(), receipt: Receipt(receipt)) }

        func abort() { writer.abort() }
    }
}
