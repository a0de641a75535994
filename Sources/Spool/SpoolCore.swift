import DequeModule
import NIOCore
import SMTPCore
import Synchronization

/// What the threads of the spool share: the box for incoming work, the jobs in delivery, the lease of queue ids, and the engine.
///
/// Locks are taken for moments only, and never one inside another, except that a turn takes the small ones while it has the engine.
final class SpoolCore: Sendable {
    struct Inbox {
        var accepts: Deque<PendingAccept> = []
        var reports: Deque<PendingReport> = []
        var commands: [PendingCommand] = []
        var failedLoads: [(id: QueueID, error: SpoolError)] = []
        var failedReads: [(id: QueueID, error: SpoolError)] = []
        var leaseUpTo: UInt64?
        /// Monotonic time of the oldest report.
        var firstReport: Double = 0
        var isClosed = false
        /// The writer is waiting and wants to be woken.
        var isWaiting = false
        /// Work that waits for a flush came in, or the engine asked for a turn at once.
        var isUrgent = false
    }

    struct Job {
        var recipients: [UInt32]
        var arrival: Double
        var attempts: Int
        var isToldOfDelay: Bool
    }

    let options: SpoolOptions
    let fileSystem: any SpoolFileSystem
    let clock: any SpoolClock
    let observer: any SpoolObserver
    let paths: SpoolPaths
    let pool: WorkerPool
    let inbox = Mutex(Inbox())
    let jobs = Mutex<[QueueID: Job]>([:])
    let lease: Mutex<QueueIDLease>
    let firstQueueID: UInt64
    let contentFlushes: ContentFlushes
    let contentRoom: ContentRoom
    let engine: Mutex<SpoolEngine>
    let agent = Mutex<(any DeliveryAgent)?>(nil)
    let crashes: Mutex<CrashRecord>
    let acknowledgements: Mutex<Acknowledgements>
    /// Found at the start, and to be put on hold before anything is delivered.
    let poisonous: [QueueID]
    let storageIsShort = Atomic<Bool>(false)
    let wakeUp = Semaphore()

    init(
        engine: SpoolEngine,
        crashes: CrashRecord,
        options: SpoolOptions,
        fileSystem: any SpoolFileSystem,
        clock: any SpoolClock,
        observer: any SpoolObserver,
        paths: SpoolPaths
    ) {
        self.options = options
        self.fileSystem = fileSystem
        self.clock = clock
        self.observer = observer
        self.paths = paths
        pool = WorkerPool(threads: options.workerThreads, isInline: options.isManual)
        var engine = engine
        poisonous = engine.keep(crashes)
        self.crashes = Mutex(crashes)
        acknowledgements = Mutex(engine.acknowledgements)
        firstQueueID = engine.index.queueIDLimit
        contentFlushes = engine.contentFlushes
        contentRoom = ContentRoom(options, directory: paths.directory, fileSystem: fileSystem)
        lease = Mutex(QueueIDLease(first: firstQueueID))
        self.engine = Mutex(engine)
    }

    // MARK: Work comes in

    /// Puts work into the box; false when the queue is closed, and the work was not taken.
    func submit(isUrgent: Bool = true, _ put: (inout Inbox) -> Void) -> Bool {
        let (isTaken, wakes) = inbox.withLock { inbox in
            guard !inbox.isClosed else { return (false, false) }
            put(&inbox)
            if isUrgent { inbox.isUrgent = true }
            let wakes = inbox.isWaiting
            inbox.isWaiting = false
            return (true, wakes)
        }
        if wakes { wakeUp.post() }
        return isTaken
    }

    func accept(_ pending: PendingAccept) {
        if !submit({ $0.accepts.append(pending) }) { pending.receipt.completed(.failure(.closed)) }
    }

    // MARK: The writer

    /// Body of the writer thread.
    func run() {
        while true {
            let wait = waitingTime()
            if wait > 0 {
                wakeUp.wait(seconds: wait)
                continue
            }
            let isLast = inbox.withLock { $0.isClosed && $0.accepts.isEmpty && $0.reports.isEmpty }
            turn(isClosing: isLast)
            if isLast { return }
        }
    }

    /// Seconds until the next turn; 0 for now. Before it waits, the writer asks to be woken.
    func waitingTime() -> Double {
        let next = engine.withLock { $0.nextTurn }
        let now = clock.monotonicTime()
        return inbox.withLock { inbox in
            guard let next, !inbox.isUrgent, !inbox.isClosed else { return 0 }
            var until = next
            // An outcome waits a little for company, as nobody waits for it.
            if !inbox.reports.isEmpty { until = min(until, inbox.firstReport + options.outcomeDelay) }
            guard until > now else { return 0 }
            inbox.isWaiting = true
            return until - now
        }
    }

    /// One turn: takes what is there, up to one batch, and carries out what follows. Returns whether there was anything to do.
    @discardableResult
    func turn(isClosing: Bool = false) -> Bool {
        var work = takeWork()
        work.isClosing = isClosing
        let isEmpty =
            work.accepts.isEmpty && work.reports.isEmpty && work.commands.isEmpty && work.failedLoads.isEmpty && work.failedReads.isEmpty
            && work.leaseUpTo == nil
        let (effects, isShort) = engine.withLock { engine in
            (engine.turn(work, wall: clock.wallTime(), monotonic: clock.monotonicTime()), engine.storageIsShort)
        }
        storageIsShort.store(isShort, ordering: .relaxed)
        for effect in effects { perform(effect) }
        return !isEmpty || !effects.isEmpty
    }

    private func takeWork() -> EngineWork {
        inbox.withLock { inbox in
            var work = EngineWork()
            var bytes = 0
            while bytes < options.batchSize, let accept = inbox.accepts.popFirst() {
                bytes += accept.record.length
                work.accepts.append(accept)
            }
            bytes = 0
            while bytes < options.batchSize, let report = inbox.reports.popFirst() {
                bytes += report.length
                work.reports.append(report)
            }
            swap(&work.commands, &inbox.commands)
            swap(&work.failedLoads, &inbox.failedLoads)
            swap(&work.failedReads, &inbox.failedReads)
            swap(&work.leaseUpTo, &inbox.leaseUpTo)
            inbox.isUrgent = !inbox.accepts.isEmpty || !inbox.reports.isEmpty
            return work
        }
    }

    // MARK: What follows

    private func perform(_ effect: EngineEffect) {
        switch effect {
        case .complete(let receipt, let result): receipt.completed(result)
        case .finish(let completion, let result): completion(result)
        case .deliver(let job): deliver(job, recipients: (0..<job.envelope.recipients.count).map { UInt32(truncatingIfNeeded: $0) })
        case .load(let stored, let age): pool.submit { [self] in load(stored, age) }
        case .removeContent(let id):
            let isTaken = pool.submit { [self] in try? fileSystem.unlink(paths.content(id)) }
            // The queue is being closed, and this is the writer's last turn.
            if !isTaken { try? fileSystem.unlink(paths.content(id)) }
        case .leased(let limit): raiseLease(to: limit)
        case .leaseFailed(let error): failLease(error)
        case .forgive(let id): crashes.withLock { $0.keep { $0 != id } }
        case .event(let event): observer.spoolEvent(event)
        }
    }

    private func load(_ stored: StoredMessage, _ age: MessageAge) {
        do throws(SpoolError) {
            let id = stored.id
            let (record, content) = try stored.read { [weak self] error in _ = self?.submit { $0.failedReads.append((id, error)) } }
            let recipients = record.state.pending.map(\.recipient)
            var envelope = record.envelope
            envelope.recipients = recipients.map { record.envelope.recipients[Int($0)] }
            let job = DeliveryJob(
                id: stored.id,
                envelope: envelope,
                content: content,
                arrival: record.arrival,
                attempts: Int(record.state.attempts),
                isExpired: age.isExpired,
                mayBeDuplicate: stored.entry.isSuspect,
                agesFrom: age.countsFrom,
                isToldOfDelay: record.state.isToldOfDelay
            )
            deliver(job, recipients: recipients)
        } catch {
            _ = submit { $0.failedLoads.append((stored.id, error)) }
        }
    }

    private func deliver(_ job: DeliveryJob, recipients: [UInt32]) {
        guard let agent = agent.withLock({ $0 }) else { return }
        jobs.withLock {
            $0[job.id] = Job(recipients: recipients, arrival: job.arrival, attempts: job.attempts, isToldOfDelay: job.isToldOfDelay)
        }
        observer.spoolEvent(
            .activated(id: job.id, sender: job.envelope.sender, size: job.content.size, recipientCount: job.envelope.recipients.count)
        )
        agent.deliver(job)
    }

    // MARK: Reports

    func record(_ report: DeliveryReport) {
        guard let job = jobs.withLock({ $0.removeValue(forKey: report.id) }) else {
            return observer.spoolEvent(.strayReport(report.id))
        }
        let now = clock.wallTime()
        var pending: [DeliveryState.Pending] = []
        for (place, recipient) in job.recipients.enumerated() {
            // A recipient the report says nothing about has not been served.
            let outcome = place < report.outcomes.count ? report.outcomes[place] : .deferred("delivery ended without an outcome")
            if case .deferred(let reason) = outcome { pending.append(DeliveryState.Pending(recipient: recipient, reason: reason)) }
        }
        let state = DeliveryState(
            attempts: UInt32(clamping: job.attempts + 1),
            nextAttempt: BackOff(options).nextAttempt(arrival: job.arrival, now: now),
            pending: pending,
            isToldOfDelay: job.isToldOfDelay || report.tellsOfDelay
        )
        let messages = report.bounces.map {
            MessageRecord(newMessage: $0.envelope, size: $0.content.readableBytes, arrival: now)
        }
        let bounce = report.bounces.first.map { JournalFact.Bounce(id: $0.id, message: messages[0]) }
        let fact = JournalFact.outcome(report.id, state, bounce: bounce)
        let further = zip(report.bounces, messages).dropFirst().map { bounce, message in
            let fact = JournalFact.message(bounce.id, message, isInFile: false)
            return (fact.encoded(body: bounce.content), fact)
        }
        let entry = PendingReport(
            id: report.id,
            record: fact.encoded(body: report.bounces.first?.content ?? ByteBuffer()),
            fact: fact,
            bounces: report.bounces,
            further: further
        )
        let monotonic = clock.monotonicTime()
        _ = submit(isUrgent: false) { inbox in
            if inbox.reports.isEmpty { inbox.firstReport = monotonic }
            inbox.reports.append(entry)
        }
    }
}

extension MessageRecord {
    init(newMessage envelope: Envelope, size: Int, checksums: [UInt32] = [], arrival: Double) {
        self.init(
            generation: 0,
            arrival: arrival,
            envelope: envelope,
            contentSize: UInt64(size),
            blockChecksums: checksums,
            isHeld: envelope.isHeld,
            state: DeliveryState(newMessageWith: envelope.recipients.count)
        )
    }
}
