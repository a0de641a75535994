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
        perform(operation, on: .selection(selection), completion: completion)
    }

    private func perform(
        _ operation: QueueOperation,
        on target: PendingCommand.Target,
        completion: @escaping @Sendable (Result<Int, SpoolError>) -> Void
    ) {
        let command = PendingCommand(operation: operation, target: target, completion: completion)
        if !core.submit({ $0.commands.append(command) }) { completion(.failure(.closed)) }
    }

    /// Blocking form of ``perform(_:on:completion:)``.
    package func perform(_ operation: QueueOperation, on selection: QueueSelection) throws(SpoolError) -> Int {
        try perform(operation, on: .selection(selection))
    }

    /// Tries those of the messages that are still deferred; returns their number. Blocking.
    package func flush(_ ids: [QueueID]) throws(SpoolError) -> Int { try perform(.flush, on: .some(ids)) }

    private func perform(_ operation: QueueOperation, on target: PendingCommand.Target) throws(SpoolError) -> Int {
        let answer = Answer<Int>()
        perform(operation, on: target) { answer.set($0) }
        while core.options.isManual, !answer.isSet { core.turn() }
        return try answer.wait()
    }

    /// Up to `limit` messages with ids after `id`, in order of id. Reads the disk, so call it on a thread that may wait.
    package func list(after id: QueueID? = nil, limit: Int = 1_000) throws(SpoolError) -> [QueueListing] {
        let page = core.engine.withLock { engine in
            engine.page(after: id, limit: limit)
        }
        return page.map { place in
            switch place {
            case .stored(let stored): (try? stored.listing())?.listing ?? stored.unreadableListing
            case .quarantined(let id, let size): QueueListing(quarantined: id, size: size)
            }
        }
    }

    /// Of up to `limit` messages after `id`, those that are deferred and have a recipient left in one of `domains` (lower case); `last` is the
    /// last one looked at, nil at the end of the queue. Reads the disk, so call it on a thread that may wait.
    package func deferred(
        withRecipientsIn domains: Set<String>,
        after id: QueueID?,
        limit: Int
    ) -> (ids: [QueueID], last: QueueID?) {
        let (page, last) = core.engine.withLock { engine in
            let ids = engine.index.entries.ids(after: id, limit: limit)
            let waiting = ids.filter { id in engine.index[id].map { !$0.isKept && !$0.isActive && !$0.isReady } ?? false }
            return (waiting.compactMap { engine.stored($0) }, ids.count < limit ? nil : ids.last)
        }
        let found = page.filter { stored in
            // What cannot be read is reported by whoever delivers it.
            guard let record = try? stored.read().record else { return false }
            return record.state.pending.contains { pending in
                let domain = record.envelope.recipients[Int(pending.recipient)].address.domain
                return domain.map { domains.contains($0.lowercased()) } ?? false
            }
        }
        return (found.map(\.id), last)
    }

    /// One message with its content. Reads the disk.
    package func message(_ id: QueueID) throws(SpoolError) -> (listing: QueueListing, content: any MessageContent) {
        guard let stored = core.engine.withLock({ $0.stored(id) }) else { throw .unknownQueueID(id) }
        return try stored.listing()
    }

    /// Waits for the writer, so call it on a thread that may wait.
    package func status() throws(SpoolError) -> SpoolStatus { core.engine.withLock { $0.status } }
}

extension SpoolEngine {
    fileprivate enum Place {
        case stored(StoredMessage)
        case quarantined(QueueID, size: Int)
    }

    /// Up to `limit` messages after `id`, in order of id.
    fileprivate func page(after id: QueueID?, limit: Int) -> [Place] {
        var ids = index.entries.ids(after: id, limit: limit)
        let quarantined = index.quarantine.keys.filter { other in id.map { other > $0 } ?? true }
        if !quarantined.isEmpty { ids = Array((ids + quarantined).sorted().prefix(max(limit, 0))) }
        return ids.compactMap { id in
            if let location = index.quarantine[id] { return .quarantined(id, size: location.bodyLength) }
            return stored(id).map { .stored($0) }
        }
    }
}

extension QueueListing {
    fileprivate init(quarantined id: QueueID, size: Int) {
        self.init(
            id: id,
            state: .hold,
            size: size,
            arrival: 0,
            sender: .null,
            recipients: [],
            note: "queue damage: only the id can be read"
        )
    }
}

extension StoredMessage {
    fileprivate var state: QueueListing.State {
        if entry.isKept { return .hold }
        return entry.isActive || entry.attempts == 0 && entry.isReady ? .active : .deferred
    }

    private var note: String { entry.isPoisonous ? "held: the queue role has ended twice while working on this message" : "" }

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
            nextAttempt: entry.nextAttempt,
            note: note,
            isToldOfDelay: record.state.isToldOfDelay
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
            nextAttempt: entry.nextAttempt,
            note: entry.isPoisonous ? note : "queue damage: the message cannot be read"
        )
    }
}
