import DequeModule
import NIOCore
import SMTPCore

// What goes into the next batch, and in which order: copies before anything that may change the message they copy.

extension SpoolEngine {
    /// The records of one flush, with what each of them is for.
    struct Batch {
        enum Origin {
            case copy
            case report(PendingReport)
            /// A further message of the report before it.
            case notice
            case bulk
            case hurry(QueueID)
            case lease
            case accept(PendingAccept)
            case clock
            case end
        }

        struct Item {
            var record: EncodedRecord
            var fact: JournalFact
            var origin: Origin
        }

        var items: [Item] = []

        mutating func add(_ record: EncodedRecord, _ fact: JournalFact, _ origin: Origin) {
            items.append(Item(record: record, fact: fact, origin: origin))
        }
    }

    /// Records of one bulk operation in one batch.
    private static var bulkPiece: Int { 5_000 }

    func planReports(_ batch: inout Batch, _ reports: [PendingReport]) {
        for report in reports {
            batch.add(report.record, report.fact, .report(report))
            // In the same batch, so that all of it is durable, or nothing.
            for (record, fact) in report.further { batch.add(record, fact, .notice) }
        }
    }

    /// Checks a command and takes it up; one without records to write is done at once.
    mutating func begin(_ command: PendingCommand) {
        let ids: [QueueID]
        switch command.target {
        case .selection(.message(let id)):
            guard index[id] != nil || index.quarantine[id] != nil else {
                return effects.append(.finish(command.completion, .failure(.unknownQueueID(id))))
            }
            ids = [id]
        case .some(let listed): ids = listed
        case .selection(.all):
            // What cannot be read is deleted one by one only, by someone who knows what it was.
            ids = index.entries.ids { _, _ in true }
        }
        let concerned = ids.filter { id in
            index[id].map { command.operation.concerns($0) } ?? (command.operation == .delete && index.quarantine[id] != nil)
        }
        guard command.operation != .flush else {
            for id in concerned { makeReady(id) }
            return effects.append(.finish(command.completion, .success(concerned.count)))
        }
        bulk.append(BulkWork(operation: command.operation, ids: concerned[...], completion: command.completion))
    }

    /// Plans one piece of the oldest operation. Messages that have gone in the meantime are passed over.
    mutating func planBulk(_ batch: inout Batch) {
        while let work = bulk.first {
            let present = work.ids.prefix(Self.bulkPiece).filter { index[$0] != nil || index.quarantine[$0] != nil }
            for id in present {
                let fact: JournalFact =
                    switch work.operation {
                    case .hold: .hold(id)
                    case .release, .requeue, .flush: .release(id)
                    case .delete: .remove(id)
                    }
                batch.add(fact.encoded(), fact, .bulk)
            }
            if !present.isEmpty { return }
            endBulkPiece(.success(()), changed: 0)
        }
    }

    /// The piece that was planned is durable, or has failed.
    mutating func endBulkPiece(_ result: Result<Void, SpoolError>, changed: Int) {
        guard var work = bulk.popFirst() else { return }
        let piece = work.ids.prefix(Self.bulkPiece)
        if case .failure(let error) = result { return effects.append(.finish(work.completion, .failure(error))) }
        if work.operation == .requeue {
            for id in piece {
                index.update(id) { $0.nextAttempt = wall }
                enqueue(id)
            }
        }
        work.changed += changed
        work.ids = work.ids.dropFirst(piece.count)
        if work.ids.isEmpty { effects.append(.finish(work.completion, .success(work.changed))) } else { bulk.prepend(work) }
    }

    mutating func planLease(_ batch: inout Batch, upTo wanted: UInt64?) {
        // Before the first delivery after a clean end something must be written, or the next process would take that end for this one's.
        let isFirst = isDelivering && index.endedCleanly
        let limit = isFirst ? max(wanted ?? 0, index.queueIDLimit) : wanted
        guard let limit, limit > index.queueIDLimit || isFirst else {
            if limit != nil { effects.append(.leased(index.queueIDLimit)) }
            return
        }
        let fact = JournalFact.queueIDLimit(limit)
        batch.add(fact.encoded(), fact, .lease)
    }

    /// A jump of the clock is made durable at once: the next process must know of it, and may begin before any mail comes.
    func planClockNote(_ batch: inout Batch) {
        guard clockJumped else { return }
        let fact = JournalFact.queueIDLimit(index.queueIDLimit)
        batch.add(fact.encoded(), fact, .clock)
    }

    mutating func planAccepts(_ batch: inout Batch, _ accepts: [PendingAccept]) {
        guard !accepts.isEmpty else { return }
        if storageIsShort { return refuse(accepts, .insufficientStorage, isVoid: true) }
        var accepts = accepts
        // An id that is in use is no correct sender's, and nothing may happen to the message that has it.
        if accepts.contains(where: { isTaken($0.id) }) {
            refuse(accepts.filter { isTaken($0.id) }, .writeFailed("the queue id is in use"), isVoid: true)
            accepts.removeAll { isTaken($0.id) }
        }
        if accepts.contains(where: { $0.content == nil }) {
            var reason = SpoolError.writeFailed("a flush of \(paths.contents) has failed since the content was written")
            do throws(FileSystemError) {
                // The content files themselves have been flushed; their names must be durable before a record speaks of them.
                try fileSystem.syncDirectory(paths.contents)
            } catch {
                contentFlushes.failed()
                effects.append(.event(.housekeepingFailed(error.description)))
                reason = .writeFailed(error.description)
            }
            let failures = contentFlushes.failures
            let isLost = { (accept: PendingAccept) in accept.content == nil && accept.failedFlushes != failures }
            refuse(accepts.filter(isLost), reason, isVoid: true)
            accepts.removeAll(where: isLost)
        }
        for accept in accepts { batch.add(accept.record, accept.fact, .accept(accept)) }
    }

    /// - Parameter isVoid: that no record of these messages can come back; only then may their content go.
    mutating func refuse(_ accepts: [PendingAccept], _ error: SpoolError, isVoid: Bool) {
        for accept in accepts {
            effects.append(.complete(accept.receipt, .failure(error)))
            if isVoid, accept.content == nil, !isContentTaken(accept.id) { effects.append(.removeContent(accept.id)) }
        }
    }

    private func isTaken(_ id: QueueID) -> Bool { index[id] != nil || index.quarantine[id] != nil || removedInDelivery[id] != nil }

    /// Whether the content file of that name is, or may be, another message's.
    private func isContentTaken(_ id: QueueID) -> Bool {
        index[id]?.isInFile ?? removedInDelivery[id]?.isInFile ?? (index.quarantine[id] != nil)
    }

    func planEnd(_ batch: inout Batch) {
        // Looking at a queue must not change it, so nothing is written if nothing has been.
        guard journal.isOpen || !batch.items.isEmpty, !(index.endedCleanly && batch.items.isEmpty) else { return }
        guard activeCount == 0, removedInDelivery.isEmpty, index.entries.ids(where: { $1.isSuspect && !$1.isKept }).isEmpty else { return }
        batch.add(JournalFact.cleanEnd.encoded(), .cleanEnd, .end)
    }
}

extension QueueOperation {
    /// Whether a message would be changed by it.
    func concerns(_ entry: QueueEntry) -> Bool {
        switch self {
        case .hold: !entry.isHeld
        case .release: entry.isKept
        case .requeue, .delete: true
        case .flush: !entry.isKept && !entry.isActive
        }
    }
}
