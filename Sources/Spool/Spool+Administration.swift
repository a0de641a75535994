package import SMTPCore
import Synchronization

extension Spool {
    /// Performs the operation; `completion` gets the number of messages it changed, once durable, on a thread of the spool.
    /// ``SpoolError/unknownQueueID(_:)`` if the one message asked for is not there.
    package func perform(
        _ operation: QueueOperation,
        on selection: QueueSelection,
        completion: @escaping @Sendable (Result<Int, SpoolError>) -> Void
    ) {
        let command = PendingCommand(operation: operation, selection: selection, completion: completion)
        if !core.submit({ $0.commands.append(command) }) { completion(.failure(.closed)) }
    }

    /// Blocking form of ``perform(_:on:completion:)``.
    package func perform(_ operation: QueueOperation, on selection: QueueSelection) throws(SpoolError) -> Int {
        let answer = Answer<Int>()
        perform(operation, on: selection) { answer.set($0) }
        while core.options.isManual, !answer.isSet { core.turn() }
        return try answer.wait()
    }

    /// Up to `limit` messages with ids after `id`, in order of id. Reads the disk, so call it on a thread that may wait.
    package func list(after id: QueueID? = nil, limit: Int = 1_000) throws(SpoolError) -> [QueueListing] {
        let page = core.engine.withLock { engine in
            engine.index.firstIDs(after: id, limit: limit).compactMap { engine.stored($0) }
        }
        return page.compactMap { stored in (try? stored.listing())?.listing ?? stored.unreadableListing }
    }

    /// One message with its content. Reads the disk.
    package func message(_ id: QueueID) throws(SpoolError) -> (listing: QueueListing, content: any MessageContent) {
        guard let stored = core.engine.withLock({ $0.stored(id) }) else { throw .unknownQueueID(id) }
        return try stored.listing()
    }

    /// Waits for the writer, so call it on a thread that may wait.
    package func status() throws(SpoolError) -> SpoolStatus { core.engine.withLock { $0.status } }
}

extension QueueIndex {
    /// The smallest ids after `id`, in order.
    fileprivate func firstIDs(after id: QueueID?, limit: Int) -> [QueueID] {
        let after = id.map(\.rawValue)
        var page: [QueueID] = []
        // Keeps at most twice the page while passing over the whole queue once.
        let bound = max(limit, 1)
        for candidate in entries.keys where after.map({ candidate.rawValue > $0 }) ?? true {
            page.append(candidate)
            if page.count >= 2 * bound + 1_000 {
                page.sort()
                page.removeLast(page.count - bound)
            }
        }
        page.sort()
        return Array(page.prefix(bound))
    }
}

extension StoredMessage {
    fileprivate var state: QueueListing.State {
        if entry.isHeld || entry.isUnreadable { return .hold }
        return entry.isActive || entry.attempts == 0 && entry.isReady ? .active : .deferred
    }

    fileprivate func listing() throws(SpoolError) -> (listing: QueueListing, content: any MessageContent) {
        let (record, content) = try read()
        let listing = QueueListing(
            id: id,
            state: state,
            size: Int(clamping: record.contentSize),
            arrival: record.arrival,
            sender: record.envelope.sender,
            recipients: record.state.pending.map {
                QueueListing.Recipient(address: record.envelope.recipients[Int($0.recipient)].address, delayReason: $0.reason)
            },
            attempts: Int(record.state.attempts),
            nextAttempt: entry.nextAttempt
        )
        return (listing, content)
    }

    /// What is known of a message whose record cannot be read.
    fileprivate var unreadableListing: QueueListing {
        QueueListing(
            id: id,
            state: .hold,
            size: Int(clamping: entry.size),
            arrival: entry.arrival,
            sender: .null,
            recipients: [],
            attempts: Int(entry.attempts),
            nextAttempt: entry.nextAttempt
        )
    }
}
