import DequeModule
import SMTPCore

// Space: the reserve, and old segments.

extension SpoolEngine {
    /// Whether records and content may be deleted at all. Not while a message is damaged, acknowledged or not: what is left of it can be
    /// exported, and may be in any file.
    var mayDelete: Bool { !deletionStopped && damages.allSatisfy { $0.isAcknowledged && $0.id == nil } }

    /// Looks at the free space, at most once a second, and refills the reserve when there is room again.
    mutating func checkSpace() {
        guard monotonic >= nextSpaceCheck else { return }
        nextSpaceCheck = monotonic + 1
        guard let free = try? fileSystem.freeSpace(paths.directory) else { return }
        freeSpace = free
        if isDelivering, options.reserveSize > 0, !hasReserve {
            // The last process may have left one: making another would need twice the space.
            hasReserve = findsReserve()
            if !hasReserve, free / 2 >= UInt64(options.reserveSize) { makeReserve() }
        }
        let needsReserve = isDelivering && options.reserveSize > 0
        storageIsShort = free < options.queueMinFree || needsReserve && !hasReserve
    }

    private func findsReserve() -> Bool {
        guard let file = try? fileSystem.open(paths.reserve), let size = try? file.size() else { return false }
        return size >= options.reserveSize
    }

    private mutating func makeReserve() {
        do throws(FileSystemError) {
            try? fileSystem.unlink(paths.reserve)
            let file = try fileSystem.create(paths.reserve)
            try file.allocate(options.reserveSize)
            hasReserve = true
        } catch {
            try? fileSystem.unlink(paths.reserve)
            effects.append(.event(.housekeepingFailed(error.description)))
        }
    }

    /// Gives the reserve to the journal: from now on only outcomes are written, until there is space again.
    mutating func releaseReserve() {
        storageIsShort = true
        freeSpace = 0
        nextSpaceCheck = monotonic + 1
        hasReserve = false
        try? fileSystem.unlink(paths.reserve)
    }

    /// Old segments without a live message go, oldest first: a record must not outlive the one that cancels it.
    mutating func removeOldSegments() {
        while mayDelete, journal.segments.count > 1, let oldest = journal.segments.first, index.live[oldest.number] == nil {
            do throws(FileSystemError) {
                try journal.removeOldest()
                if !damages.isEmpty { damages.removeAll { $0.place?.file == "journal/\(Journal.name(oldest.number))" } }
            } catch {
                deletionStopped = true
                effects.append(.event(.housekeepingFailed(error.description)))
            }
        }
    }

    /// Copying takes space before it gives any back. When that is short, what is left belongs to outcomes and bounces.
    private var mayCopy: Bool { !storageIsShort || freeSpace >= 2 * UInt64(options.segmentSize) }

    /// Copies a few live messages of the oldest segment forward when the journal is mostly dead weight.
    mutating func planCopies(_ batch: inout Batch) {
        guard mayDelete, mayCopy, stoppedUntil == nil, journal.segments.count > 1, let oldest = journal.segments.first else { return }
        if copySegment != oldest.number {
            copyQueue = []
            // Each start begins a segment, so many restarts leave many small ones, each an open file.
            let hasDeadWeight = journal.bytes > 2 * index.liveBytes + 2 * options.segmentSize
            let isScattered = journal.segments.count > 32 + 2 * (journal.bytes / options.segmentSize)
            guard hasDeadWeight || isScattered else { return }
            copySegment = oldest.number
            copyQueue.append(contentsOf: index.entries.ids { $1.base.segment == oldest.number })
        }
        var bytes = 0
        while bytes < 1 << 20, let id = copyQueue.popFirst() {
            guard let entry = index[id], entry.base.segment == oldest.number, let stored = stored(id) else { continue }
            do throws(SpoolError) {
                let (record, fact) = try stored.copiedForward()
                batch.add(record, fact, .copy)
                bytes += record.length
            } catch {
                if entry.isActive { noteDamage(error.description, id) } else { giveUpReading(id, error) }
                return
            }
        }
    }
}
