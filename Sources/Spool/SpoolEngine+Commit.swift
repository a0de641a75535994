import NIOCore
import SMTPCore

// The one place where the journal is written. Each write and each flush is tried once.

extension SpoolEngine {
    /// Writes and flushes the batch, then lets its facts come true; or voids it and says so to everyone concerned.
    mutating func commit(_ batch: Batch) {
        do throws(FileSystemError) {
            try openSegment()
        } catch {
            // Nothing of this batch has been written anywhere.
            return fail(batch, error, isVoid: true)
        }
        let locations: [RecordLocation]
        do throws(FileSystemError) {
            locations = try journal.append(batch.items.map(\.record), time: wall)
        } catch {
            effects.append(.event(.segmentAbandoned(error.description)))
            if error.isOutOfSpace { releaseReserve() }
            // The kernel may show the batch in its cache, written or not. Only a durable successor makes it void.
            let isVoid = beginSegment()
            fail(batch, error, isVoid: isVoid)
            if isVoid { commitCarried() }
            return
        }
        settle(batch, locations)
    }

    /// Reports are not lost with the batch: they go into the new segment, once.
    private mutating func commitCarried() {
        guard !carriedReports.isEmpty else { return }
        var batch = Batch()
        planReports(&batch, carriedReports)
        do throws(FileSystemError) {
            let locations = try journal.append(batch.items.map(\.record), time: wall)
            carriedReports = []
            settle(batch, locations)
        } catch {
            effects.append(.event(.segmentAbandoned(error.description)))
            stop(error)
        }
    }

    /// Makes sure that there is a segment to write to.
    private mutating func openSegment() throws(FileSystemError) {
        if let stoppedUntil, monotonic < stoppedUntil {
            throw FileSystemError(operation: "write", path: paths.journal, code: inputOutputError)
        }
        if journal.isOpen, journal.currentEnd < options.segmentSize, !clockJumped { return }
        do throws(FileSystemError) {
            try journal.beginSegment(time: wall, queueIDLimit: index.queueIDLimit, clockSet: clockTrust.clockSet)
            index.endedCleanly = false
        } catch {
            if error.isOutOfSpace { releaseReserve() }
            stop(error)
            throw error
        }
        clockJumped = false
        resume()
    }

    /// The same after a failure; whether it worked.
    private mutating func beginSegment() -> Bool {
        do throws(FileSystemError) {
            try journal.beginSegment(time: wall, queueIDLimit: index.queueIDLimit, clockSet: clockTrust.clockSet)
            index.endedCleanly = false
            return true
        } catch {
            stop(error)
            return false
        }
    }

    private mutating func stop(_ error: FileSystemError) {
        if stoppedUntil == nil { effects.append(.event(.acceptingStopped(error.description))) }
        stoppedUntil = monotonic + options.recoveryDelay
    }

    private mutating func resume() {
        guard stoppedUntil != nil else { return }
        stoppedUntil = nil
        effects.append(.event(.acceptingResumed))
    }

    private mutating func fail(_ batch: Batch, _ error: FileSystemError, isVoid: Bool) {
        let reason: SpoolError = error.isOutOfSpace ? .insufficientStorage : .writeFailed(error.description)
        if error.isOutOfSpace { storageIsShort = true }
        var bulkCount = 0
        for item in batch.items {
            switch item.origin {
            case .accept(let accept): refuse([accept], reason, isVoid: isVoid)
            case .report(let report): carriedReports.append(report)
            case .bulk: bulkCount += 1
            case .hurry(let id): hurried.append(id)
            case .copy: copySegment = 0
            case .lease: effects.append(.leaseFailed(reason))
            case .notice, .end, .clock: break
            }
        }
        if bulkCount > 0 { endBulkPiece(.failure(reason), changed: 0) }
    }

    /// The batch is durable: its facts come true, in order, and only now does anyone hear of them.
    private mutating func settle(_ batch: Batch, _ locations: [RecordLocation]) {
        var bulkCount = 0
        for (item, location) in zip(batch.items, locations) {
            switch item.origin {
            case .accept(let accept):
                accepted += 1
                if let content = accept.content, !accept.envelope.isHeld { keepWarm(accept.id, accept.envelope, content) }
                effects.append(.complete(accept.receipt, .success(())))
            case .report(let report):
                settleReport(report)
            case .bulk: bulkCount += 1
            case .hurry(let id): schedule.appendReady(id)
            case .notice, .copy, .lease, .end, .clock: break
            }
            if case .release(let id) = item.fact, let entry = index[id], entry.isPoisonous || entry.isUnreadable { forgive(id) }
            item.fact.forEachIndexFact(at: location) { fact in
                journal.note(fact)
                if let change = index.apply(fact) { settle(change) }
            }
            if case .lease = item.origin { effects.append(.leased(index.queueIDLimit)) }
        }
        if bulkCount > 0 { endBulkPiece(.success(()), changed: bulkCount) }
    }

    /// An administrator wants the message tried again: what it did before does not count any more.
    private mutating func forgive(_ id: QueueID) {
        damages.removeAll { $0.id == id }
        effects.append(.forgive(id))
    }

    private mutating func settleReport(_ report: PendingReport) {
        coolDown(report.id)
        for bounce in report.bounces { keepWarm(bounce.id, bounce.envelope, bounce.content) }
        if let entry = removedInDelivery.removeValue(forKey: report.id) {
            activeCount -= 1
            removeContent(report.id, entry)
        } else if let entry = index[report.id], entry.isActive {
            activeCount -= 1
            index.update(report.id) { $0.isActive = false }
        }
    }

    private mutating func settle(_ change: QueueIndex.Change) {
        switch change {
        case .added(let id), .updated(let id):
            enqueue(id)
        case .removed(let id, let entry):
            coolDown(id)
            effects.append(.event(.removed(id)))
            if !damages.isEmpty { damages.removeAll { $0.id == id } }
            guard let entry else { return }
            if entry.isActive {
                removedInDelivery[id] = entry
            } else {
                removeContent(id, entry)
            }
        }
    }

    private mutating func removeContent(_ id: QueueID, _ entry: QueueEntry) {
        if entry.isInFile, mayDelete { effects.append(.removeContent(id)) }
    }

    private mutating func keepWarm(_ id: QueueID, _ envelope: Envelope, _ content: ByteBuffer) {
        guard warmBytes + content.readableBytes <= options.memoryLimit, warm[id] == nil else { return }
        warm[id] = (envelope, content)
        warmBytes += content.readableBytes
    }

    private mutating func coolDown(_ id: QueueID) {
        guard let gone = warm.removeValue(forKey: id) else { return }
        warmBytes -= gone.content.readableBytes
    }
}
