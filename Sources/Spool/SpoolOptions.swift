package import SMTPCore

/// What the administrator can set about the queue. Times are seconds, sizes bytes.
package struct SpoolOptions: Sendable {
    /// `minimal_backoff_time`: the shortest pause between two attempts for one message.
    package var minimalBackoff: Double = 300
    /// `maximal_backoff_time`: the longest pause.
    package var maximalBackoff: Double = 4_000
    /// `queue_run_delay`: how often deferred messages are looked at.
    package var queueRunDelay: Double = 300
    /// `maximal_queue_lifetime`: older than this, what an attempt cannot deliver is given up.
    package var maximalQueueLifetime: Double = 5 * 86_400
    /// `bounce_queue_lifetime`: the same for messages from the null sender.
    package var bounceQueueLifetime: Double = 5 * 86_400
    /// `qmgr_message_active_limit`: messages in delivery at the same time.
    package var messageActiveLimit = 20_000
    /// `queue_minfree`: below this much free space, new mail is refused; 0 for no limit.
    package var queueMinFree: UInt64 = 0

    /// Content of messages that are still arriving leaves so much of the disk free; 0 for no limit. Less than ``queueMinFree``, so that what
    /// began when there was enough can end.
    package var contentMinFree: UInt64 = 0
    /// Messages with a content file that may be arriving at the same time; each has a descriptor.
    package var openContentLimit = 4_096

    /// Message content up to this size travels inside its journal record; longer content has a file of its own.
    package var inlineLimit = 65_536
    /// A journal segment that has grown beyond this is sealed and the next one begun.
    package var segmentSize = 64 << 20
    /// Records of one batch, so that one write stays bounded.
    package var batchSize = 8 << 20
    /// Content of new messages kept in memory for the relay; beyond it, content is read back from the disk.
    package var memoryLimit = 64 << 20
    /// Space kept aside so that outcomes and bounces can be written when the disk is full; 0 for none.
    package var reserveSize = 16 << 20
    /// How long an outcome may wait for a flush that it can share. The flush itself must fit into the 100 ms that are promised.
    package var outcomeDelay: Double = 0.05
    /// Queue ids are made durable this many at a time.
    package var queueIDLease: UInt64 = 16_384
    /// Threads for blocking work: content files and reading back.
    package var workerThreads = 4
    /// A failed disk is tried again this often.
    package var recoveryDelay: Double = 5
    /// No threads: nothing happens before ``Spool/turn()`` is called. For tests on a simulated disk.
    package var isManual = false

    package init() {}
}

/// Why the spool did not do what it was asked.
package enum SpoolError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Free space is below `queue_minfree`, or the disk is full: `452 4.3.1 Insufficient system storage`.
    case insufficientStorage
    /// A write or flush failed: `451 4.3.0 Error: queue file write error`. The message is not in the queue.
    case writeFailed(String)
    /// Another process has the queue open.
    case alreadyOpen(String)
    /// The journal was written by a newer version, or is not a journal.
    case unsupportedFormat(String)
    /// The queue directory could not be opened, created or read.
    case fileSystem(String)
    /// Content that fails its checksum, or is missing.
    case damaged(String)
    /// ``Spool/close()`` was called.
    case closed
    case unknownQueueID(QueueID)

    package var description: String {
        switch self {
        case .insufficientStorage: "Insufficient system storage"
        case .writeFailed(let text): "queue write error: \(text)"
        case .alreadyOpen(let path): "\(path): the queue is in use by another process"
        case .unsupportedFormat(let text): "unsupported queue format: \(text)"
        case .fileSystem(let text): text
        case .damaged(let text): "queue damage: \(text)"
        case .closed: "the queue is closed"
        case .unknownQueueID(let id): "\(id): no such message in the queue"
        }
    }
}

/// The two clocks of a machine, so that tests can turn them.
package protocol SpoolClock: Sendable {
    /// Seconds since 1970, as the administrator set it; may step in either direction.
    func wallTime() -> Double
    /// Seconds since some point, counting suspended time; never steps.
    func monotonicTime() -> Double
}
