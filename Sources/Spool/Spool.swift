package import SMTPCore

/// The queue: after an accept is completed, the message survives (Docs/spool.md).
package final class Spool: Sendable, DeliveryLedger {
    init() {}

    /// Creates what is missing under `directory` (`queue_directory`), takes the lock and reads the journal. Nothing is delivered before
    /// ``start(agent:)``, so this serves offline use too. Blocking.
    package static func open(
        directory: String,
        options: SpoolOptions,
        fileSystem: any SpoolFileSystem,
        clock: any SpoolClock,
        observer: any SpoolObserver
    ) throws(SpoolError) -> Spool { throw .closed }

    /// Begins handing due messages to the agent.
    package func start(agent: any DeliveryAgent) {}

    /// Ends scheduling, flushes what is pending, ends the threads and gives the lock back. Later calls fail with ``SpoolError/closed``. Blocking.
    package func close() {}

    // MARK: Taking mail

    /// Fresh queue ids, never given before or again. Does not wait, except when more are asked for than the current lease holds.
    package func reserveQueueIDs(_ count: Int) throws(SpoolError) -> Range<UInt64> { throw .closed }

    /// Whether new mail is refused for want of space (`queue_minfree`); looked up at most once a second.
    package var storageIsShort: Bool { false }

    /// Puts a message into the queue. Any thread; does not wait.
    package func accept(_ message: IncomingMessage, receipt: any AcceptReceipt) { receipt.completed(.failure(.closed)) }

    /// Starts a message whose content is longer than ``SpoolOptions/inlineLimit``, or of unknown length.
    package func beginLarge(_ id: QueueID) -> ContentWriter { ContentWriter(id: id) }

    // MARK: DeliveryLedger

    package func reserveQueueID() throws -> QueueID { throw SpoolError.closed }
    package func record(_ report: DeliveryReport) {}

    // MARK: Administration

    /// Performs the operation; `completion` gets the number of messages it changed, once durable, on a thread of the spool.
    /// ``SpoolError/unknownQueueID(_:)`` if the one message asked for is not there.
    package func perform(
        _ operation: QueueOperation,
        on selection: QueueSelection,
        completion: @escaping @Sendable (Result<Int, SpoolError>) -> Void
    ) { completion(.failure(.closed)) }

    /// Blocking form of ``perform(_:on:completion:)``.
    package func perform(_ operation: QueueOperation, on selection: QueueSelection) throws(SpoolError) -> Int { throw .closed }

    /// Up to `limit` messages with ids after `id`, in order of id. Reads the disk, so call it on a thread that may wait.
    package func list(after id: QueueID? = nil, limit: Int = 1_000) throws(SpoolError) -> [QueueListing] { throw .closed }

    /// One message with its content. Reads the disk.
    package func message(_ id: QueueID) throws(SpoolError) -> (listing: QueueListing, content: any MessageContent) { throw .closed }

    /// Waits for the writer, so call it on a thread that may wait.
    package func status() throws(SpoolError) -> SpoolStatus { throw .closed }

    // MARK: Manual mode

    /// With ``SpoolOptions/isManual``: does what is pending, as one turn of the writer would, and returns whether there was anything.
    @discardableResult package func turn() -> Bool { false }
}
