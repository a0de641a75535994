import DequeModule
import NIOCore
import SMTPCore
import Synchronization

/// A message handed in and not yet written.
struct PendingAccept: Sendable {
    var id: QueueID
    var record: EncodedRecord
    var fact: JournalFact
    var envelope: Envelope
    /// nil when the content is in a file.
    var content: ByteBuffer?
    /// ``ContentFlushes/failures`` as the content file was made.
    var failedFlushes = 0
    var receipt: any AcceptReceipt
}

/// Counts the flushes of `content/` that failed. A later one that works says nothing about names that were there before.
final class ContentFlushes: Sendable {
    private let count = Atomic<Int>(0)

    var failures: Int { count.load(ordering: .acquiring) }
    func failed() { count.add(1, ordering: .acquiringAndReleasing) }
}

/// An attempt's result, not yet written.
struct PendingReport: Sendable {
    var id: QueueID
    var record: EncodedRecord
    var fact: JournalFact
    /// The first is in ``record``; each of the others has a record of its own in the same batch.
    var bounces: [GeneratedMessage] = []
    var further: [(record: EncodedRecord, fact: JournalFact)] = []

    /// Of all its records.
    var length: Int { further.reduce(record.length) { $0 + $1.record.length } }
}

/// How old a message is, by a clock that can be trusted.
struct MessageAge: Sendable {
    /// Seconds since 1970; infinity while the clock cannot be trusted.
    var countsFrom: Double
    var isExpired: Bool
}

struct PendingCommand: Sendable {
    enum Target: Sendable {
        case selection(QueueSelection)
        /// Those of them that are still there.
        case some([QueueID])
    }

    var operation: QueueOperation
    var target: Target
    var completion: @Sendable (Result<Int, SpoolError>) -> Void
}

/// What one turn of the writer takes up.
struct EngineWork: Sendable {
    var accepts: [PendingAccept] = []
    var reports: [PendingReport] = []
    var commands: [PendingCommand] = []
    /// Messages that could not be read for delivery.
    var failedLoads: [(id: QueueID, error: SpoolError)] = []
    /// Messages in delivery whose content could not be read.
    var failedReads: [(id: QueueID, error: SpoolError)] = []
    /// Ids below this are needed.
    var leaseUpTo: UInt64?
    /// The last turn: note that the end was clean, if it was.
    var isClosing = false
}

/// What a turn wants done once it is over; done outside the engine, in this order.
enum EngineEffect: Sendable {
    case complete(any AcceptReceipt, Result<Void, SpoolError>)
    case finish(@Sendable (Result<Int, SpoolError>) -> Void, Result<Int, SpoolError>)
    case deliver(DeliveryJob)
    /// Read it on a thread that may wait, then deliver.
    case load(StoredMessage, MessageAge)
    case removeContent(QueueID)
    case leased(UInt64)
    case leaseFailed(SpoolError)
    /// Its crashes are to be forgotten.
    case forgive(QueueID)
    case event(SpoolEvent)
}
