package import LoopTask
package import MailLog
package import NIOCore
import NIOPosix
import Notices
package import Resolver
import SMTPCore
package import Spool
import Synchronization

/// Delivers what the spool hands over: next hop, connection, report, bounce. One for each process.
package final class RelayAgent: DeliveryAgent {
    private enum State {
        case idle
        case running(NIOLoopBoundBox<Coordinator>, any DeliveryLedger)
        case stopped(any DeliveryLedger)
    }

    private struct Inbox {
        var state = State.idle
        var jobs: [DeliveryJob] = []
    }

    private let configuration: RelayConfiguration
    private let resolver: RecipientResolver
    private let names: any NameService
    private let log: MailLog
    private let executors: [LoopExecutor]
    private let noticeBudget = NoticeBudget()
    private let files = NIOThreadPool(numberOfThreads: 4)
    private let processIDs: Mutex<Int>
    private let inbox = Mutex(Inbox())

    /// - Parameters:
    ///   - resolver: where an address leads; `AddressRouter.resolve`.
    ///   - log: its tag is replaced by each transport's; its process id is the first of those that deliveries log under.
    ///   - executors: the loops to work on, at least one; the first also coordinates.
    package init(
        configuration: RelayConfiguration,
        resolver: @escaping RecipientResolver,
        names: any NameService,
        log: MailLog,
        executors: [LoopExecutor]
    ) {
        precondition(!executors.isEmpty)
        self.configuration = configuration
        self.resolver = resolver
        self.names = names
        self.log = log
        self.executors = executors
        processIDs = Mutex(log.processID)
    }

    /// Begins to work; call before the spool hands over its first job.
    package func start(ledger: any DeliveryLedger) {
        files.start()
        let environment = RelayEnvironment(
            names: names,
            files: files,
            log: log,
            queue: configuration.queue,
            retryLogTag: configuration.catalogue.retryLogTag,
            slots: ConnectionSlots(configuration.queue.connectionLimit),
            notices: NextHopNotices(log: log, ledger: ledger, budget: noticeBudget),
            nextProcessID: { [unowned self] in self.nextProcessID() }
        )
        let coordinator = Coordinator(
            configuration: configuration,
            resolver: resolver,
            environment: environment,
            executors: executors,
            ledger: ledger
        )
        let box = NIOLoopBoundBox.makeBoxSendingValue(coordinator, eventLoop: executors[0].loop)
        inbox.withLock { $0.state = .running(box, ledger) }
    }

    package func deliver(_ job: DeliveryJob) {
        let next = inbox.withLock { inbox -> State in
            guard case .running = inbox.state else { return inbox.state }
            inbox.jobs.append(job)
            // Whoever finds the inbox empty wakes the loop; the others ride along.
            return inbox.jobs.count == 1 ? inbox.state : .idle
        }
        switch next {
        case .idle: break
        case .running(let box, _): executors[0].loop.execute { self.drain(into: box.value) }
        case .stopped(let ledger):
            let outcome = RecipientOutcome.deferred("delivery interrupted: the mail system is stopping")
            ledger.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in outcome }))
        }
    }

    private func drain(into coordinator: Coordinator) {
        let jobs = inbox.withLock { inbox in
            let jobs = inbox.jobs
            inbox.jobs.removeAll(keepingCapacity: true)
            return jobs
        }
        for job in jobs { coordinator.accept(job) }
    }

    /// Forgets which destinations were found dead, so that the next attempt is a real one (`postqueue -f`).
    package func flush() {
        guard case .running(let box, _) = inbox.withLock({ $0.state }) else { return }
        executors[0].loop.execute { box.value.flush() }
    }

    /// Takes no more jobs, hands back what has not begun, waits up to `limit` for what is being transmitted, then breaks it off. When it
    /// returns, every job has been reported.
    package func shutDown(within limit: TimeAmount = .seconds(10)) async {
        let previous = inbox.withLock { inbox in
            let previous = inbox.state
            if case .running(_, let ledger) = previous { inbox.state = .stopped(ledger) }
            return previous
        }
        guard case .running(let box, _) = previous else { return }
        let loop = executors[0].loop
        let done = loop.flatSubmit {
            self.drain(into: box.value)
            return box.value.beginShutdown()
        }
        let abort = loop.scheduleTask(in: limit) { box.value.abort() }
        try? await done.get()
        abort.cancel()
        await ThreadEnd.of(files)
    }

    /// Log analysers pair lines by process id, so each worker has one of its own, as Postfix's processes do.
    private func nextProcessID() -> Int {
        processIDs.withLock { id in
            defer { id = id >= 4_194_303 ? 1 : id + 1 }
            return id
        }
    }
}
