import DequeModule
import NIOCore
import SMTPCore

/// The queue without threads: takes work, writes it, and says what follows. One turn is one write and one flush, unless something fails.
struct SpoolEngine: Sendable {
    let options: SpoolOptions
    let fileSystem: any SpoolFileSystem
    let paths: SpoolPaths
    let backOff: BackOff
    var journal: Journal
    var index: QueueIndex
    var schedule = Schedule()
    var clockTrust: ClockTrust
    var damages: [SpoolDamage]
    var acknowledgements: Acknowledgements
    /// A removal may not be durable, so no other one may follow it.
    var deletionStopped = false

    /// New messages in memory, until their first report.
    var warm: [QueueID: (envelope: Envelope, content: ByteBuffer)] = [:]
    var warmBytes = 0
    var activeCount = 0
    /// Removed by the administrator while in delivery: the report is still to come, and content must stay until then.
    var removedInDelivery: [QueueID: QueueEntry] = [:]
    /// Reports whose write failed; they go into the next segment.
    var carriedReports: [PendingReport] = []
    /// Due before their time (a flush, a clock that was set back), which the journal does not say yet.
    var hurried: [QueueID] = []
    var bulk: Deque<BulkWork> = []
    /// Messages of the oldest segment still to be copied forward.
    var copyQueue: Deque<QueueID> = []
    var copySegment: UInt64 = 0

    var isDelivering = false
    var nextRun: Double = 0
    /// Set while nothing can be written.
    var stoppedUntil: Double?
    var storageIsShort = false
    /// At the last look.
    var freeSpace: UInt64 = .max
    /// The clock has jumped, and no segment says so yet.
    var clockJumped = false
    var nextSpaceCheck: Double = -1
    var hasReserve = false
    var accepted = 0
    let contentFlushes = ContentFlushes()

    var wall: Double
    var monotonic: Double
    var effects: [EngineEffect] = []

    /// An administrator's operation on many messages, done in pieces so that mail is accepted in between.
    struct BulkWork: Sendable {
        var operation: QueueOperation
        var ids: ArraySlice<QueueID>
        var changed = 0
        var completion: @Sendable (Result<Int, SpoolError>) -> Void
    }

    init(_ replay: Replay, options: SpoolOptions, fileSystem: any SpoolFileSystem, paths: SpoolPaths, wall: Double, monotonic: Double) {
        self.options = options
        self.fileSystem = fileSystem
        self.paths = paths
        self.wall = wall
        self.monotonic = monotonic
        backOff = BackOff(options)
        journal = Journal(fileSystem: fileSystem, directory: paths.journal, replay: replay)
        index = replay.index
        damages = replay.damages
        acknowledgements = replay.acknowledgements
        clockTrust = ClockTrust(wall: wall, monotonic: monotonic, newest: replay.newestTime, clockSet: replay.clockSet)
        nextRun = monotonic
        enqueueAll(newest: replay.newestTime)
    }

    /// Messages over which the process has failed twice wait for an administrator. Returns those that were not on hold yet.
    mutating func keep(_ record: CrashRecord) -> [QueueID] {
        var fresh: [QueueID] = []
        for (id, crash) in record.entries.sorted(by: { $0.key < $1.key }) where crash.count >= 2 {
            guard let entry = index[id] else { continue }
            if !entry.isHeld { fresh.append(id) }
            index.update(id) {
                $0.isPoisonous = true
                $0.isReady = false
                if crash.isInJournal { $0.isUnreadable = true }
            }
            // While its record is not to be touched, it cannot be copied either.
            if crash.isInJournal { noteDamage("\(id): the queue role has ended twice while reading it", id) }
        }
        return fresh
    }

    /// The start: every message finds its place in one pass.
    private mutating func enqueueAll(newest: Double) {
        let mayBeInDelivery = !index.endedCleanly
        // Of the last process; the clock may have been set back since.
        let latest = max(wall, newest)
        let (wall, monotonic, backOff) = (wall, monotonic, backOff)
        var schedule = Schedule()
        index.updateEach { id, entry in
            // One that is on hold as well: the hold may have come while it was in delivery.
            entry.isSuspect = mayBeInDelivery && (entry.nextAttempt <= latest || entry.isHurried)
            guard !entry.isKept else { return }
            let delay = backOff.delay(until: entry.nextAttempt, now: wall)
            if delay > 0 {
                entry.deadline = monotonic + delay
                schedule.add(id, at: entry.deadline)
            } else {
                entry.isReady = true
                schedule.appendReady(id)
            }
        }
        self.schedule = schedule
    }

    /// One turn at the given times. The effects are to be carried out in order, outside.
    mutating func turn(_ work: EngineWork, wall: Double, monotonic: Double) -> [EngineEffect] {
        self.wall = wall
        self.monotonic = monotonic
        noteClock()
        checkSpace()
        for failure in work.failedLoads { giveUpReading(failure.id, failure.error) }
        for failure in work.failedReads { keepUnreadable(failure.id, failure.error) }
        for command in work.commands { begin(command) }
        var batch = Batch()
        planCopies(&batch)
        planReports(&batch, carriedReports + work.reports)
        carriedReports = []
        planBulk(&batch)
        planLease(&batch, upTo: work.leaseUpTo)
        planClockNote(&batch)
        planAccepts(&batch, work.accepts)
        if work.isClosing { planEnd(&batch) }
        if !batch.items.isEmpty { commit(batch) }
        removeOldSegments()
        runQueue()
        activate()
        hurry()
        defer { effects = [] }
        return effects
    }

    /// When the next turn is due even if nobody asks for one, in monotonic time; nil for at once.
    var nextTurn: Double? {
        if !bulk.isEmpty { return nil }
        let hasRest = !carriedReports.isEmpty || isDelivering && !hurried.isEmpty || !copyQueue.isEmpty && mayDelete
        if stoppedUntil == nil, hasRest { return nil }
        var next = monotonic + (storageIsShort ? 1 : 30)
        if isDelivering { next = min(next, nextRun) }
        if let stoppedUntil { next = min(next, stoppedUntil) }
        return next
    }

    var status: SpoolStatus {
        var status = SpoolStatus()
        index.entries.forEach { _, entry in
            if entry.isKept {
                status.held += 1
            } else if entry.isActive {
                status.active += 1
            } else if entry.isReady {
                status.ready += 1
            } else {
                status.deferred += 1
            }
        }
        status.quarantined = index.quarantine.count
        status.journalBytes = journal.bytes
        status.segments = journal.segments.count
        status.isAccepting = stoppedUntil == nil && !storageIsShort
        status.clockIsTrusted = clockTrust.mayExpire(after: max(options.maximalQueueLifetime, options.bounceQueueLifetime), wall: wall)
        status.damages = damages.filter { !$0.isAcknowledged }.map(\.text)
        status.acknowledgedDamages = damages.count - status.damages.count
        status.flushes = journal.flushes
        status.accepted = accepted
        return status
    }

    /// Where a message is on the disk; nil if it is not in the queue.
    func stored(_ id: QueueID) -> StoredMessage? {
        guard let entry = index[id], let base = journal.segment(entry.base.segment) else { return nil }
        return StoredMessage(
            id: id,
            entry: entry,
            baseFile: base.file,
            outcomeFile: entry.outcome.flatMap { journal.segment($0.segment)?.file },
            contentPath: paths.content(id),
            fileSystem: fileSystem
        )
    }
}

/// The directories of a queue.
struct SpoolPaths: Sendable {
    let directory: String
    var journal: String { directory + "/journal" }
    var contents: String { directory + "/content" }
    var lock: String { journal + "/LOCK" }
    var reserve: String { journal + "/RESERVE" }
    var crash: String { journal + "/CRASH" }
    func content(_ id: QueueID) -> String { "\(contents)/\(id)" }
}
