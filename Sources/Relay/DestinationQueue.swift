import DequeModule
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import Resolver
import SMTPCore

/// What every destination of the relay shares.
struct RelayEnvironment: Sendable {
    let names: any NameService
    let files: NIOThreadPool
    let log: MailLog
    let queue: QueueSettings
    /// What deliveries to a destination known to be dead are logged under.
    let retryLogTag: String
    let slots: ConnectionSlots
    let notices: NextHopNotices
    let nextProcessID: @Sendable () -> Int
}

/// Everything that waits for one next hop, and the workers that carry it there. Confined to one loop.
///
/// The number of connections starts low, grows with each success and shrinks with each failure to connect; a destination that fails a whole
/// cohort is left alone for `minimal_backoff_time`, so that a dead host costs one time-out and not one for each message.
final class DestinationQueue {
    let transport: Transport
    let settings: ClientSettings
    let nextHop: String
    let executor: LoopExecutor
    let environment: RelayEnvironment

    private var pending = Deque<Delivery>()
    private var idle: [DeliveryWorker] = []
    private var workers: [ObjectIdentifier: DeliveryWorker] = [:]
    private var window: Int
    private var failedCohorts = 0.0
    private var deadUntil: NIODeadline?
    private var deadReason: DeliveryFailure?
    private var sweepIsScheduled = false
    private var lastEnqueued: NIODeadline = .uptimeNanoseconds(0)
    private var wasBusy = false
    private var waitsForSlot = false
    private(set) var isShuttingDown = false

    init(transport: Transport, settings: ClientSettings, nextHop: String, executor: LoopExecutor, environment: RelayEnvironment) {
        self.transport = transport
        self.settings = settings
        self.nextHop = nextHop
        self.executor = executor
        self.environment = environment
        window = max(1, transport.initialConcurrency)
        if transport.concurrencyLimit > 0 { window = min(window, transport.concurrencyLimit) }
    }

    func enqueue(_ delivery: Delivery) {
        if isShuttingDown { return suspend(delivery, Self.interrupted) }
        if let reason = deadReason, let until = deadUntil {
            if NIODeadline.now() < until { return suspend(delivery, Self.suspended(reason)) }
            revive()
        }
        let now = NIODeadline.now()
        wasBusy = now - lastEnqueued < settings.reuse.idleLimit
        lastEnqueued = now
        if let worker = idle.popLast() { return worker.hand(delivery) }
        pending.append(delivery)
        startWorkers()
    }

    /// Forgets that the destination was found dead (`postqueue -f`).
    func revive() {
        deadUntil = nil
        deadReason = nil
        failedCohorts = 0
    }

    // MARK: - For workers

    /// The next delivery; waits a while for one if the connection is worth keeping. nil ends the worker.
    func next(for worker: DeliveryWorker) async -> Delivery? {
        let isContended = environment.slots.isContended
        if workers.count <= window, !isContended || worker.served < Self.turn, let delivery = pending.popFirst() { return delivery }
        guard !isShuttingDown, !isContended, workers.count <= window, worker.canWait, keepsConnections else { return nil }
        scheduleSweep()
        return await withCheckedContinuation { continuation in
            worker.wait(continuation)
            idle.append(worker)
        }
    }

    func ended(_ worker: DeliveryWorker) {
        workers[ObjectIdentifier(worker)] = nil
        environment.slots.release()
        startWorkers()
    }

    /// A session came about: the destination is alive.
    func noteSuccess() {
        failedCohorts = 0
        deadReason = nil
        deadUntil = nil
        if transport.concurrencyLimit <= 0 || window < transport.concurrencyLimit { window += 1 }
        startWorkers()
    }

    /// No host of the destination could be talked to.
    func noteFailure(_ failure: DeliveryFailure) {
        failedCohorts += 1 / Double(max(1, window))
        window = max(1, window - 1)
        guard failedCohorts >= 0.999 else { return }
        window = max(1, transport.initialConcurrency)
        deadReason = failure.softened
        deadUntil = .now() + environment.queue.minimalBackoff
        while let delivery = pending.popFirst() { suspend(delivery, Self.suspended(failure.softened)) }
    }

    // MARK: - End

    /// Hands back what waits; what is being transmitted goes on.
    func beginShutdown() {
        isShuttingDown = true
        while let delivery = pending.popFirst() { suspend(delivery, Self.interrupted) }
        for worker in idle { worker.hand(nil) }
        idle.removeAll()
    }

    /// Ends the conversations that are still going on; their deliveries are deferred.
    func abort() {
        for worker in workers.values { worker.abort() }
    }

    // MARK: - Inside

    private var keepsConnections: Bool {
        (settings.reuse.onDemand && wasBusy) || settings.reuse.destinations.contains(nextHop.lowercased())
    }

    /// Messages that a connection carries while another destination waits for one.
    private static let turn = 100

    private func startWorkers() {
        while workers.count < window, !pending.isEmpty, takeSlot() {
            if let delivery = pending.popFirst() { startWorker(delivery) }
        }
    }

    private func startWorker(_ delivery: Delivery) {
        let worker = DeliveryWorker(queue: self, first: delivery)
        workers[ObjectIdentifier(worker)] = worker
        let bound = NIOLoopBound(worker, eventLoop: executor.loop)
        startLoopTask(on: worker.executor) { await bound.value.run() }
    }

    private func takeSlot() -> Bool {
        if waitsForSlot { return false }
        let loop = executor.loop
        let bound = NIOLoopBound(self, eventLoop: loop)
        waitsForSlot = !environment.slots.take { loop.execute { bound.value.slotGranted() } }
        return !waitsForSlot
    }

    private func slotGranted() {
        waitsForSlot = false
        guard workers.count < window, let delivery = pending.popFirst() else { return environment.slots.release() }
        startWorker(delivery)
        startWorkers()
    }

    private func suspend(_ delivery: Delivery, _ failure: DeliveryFailure) {
        let attempt = DeliveryAttempt(delivery, log: environment.log.with(tag: environment.retryLogTag))
        attempt.settleAll(.failed(failure), relay: "none")
        attempt.finish()
    }

    private static func suspended(_ failure: DeliveryFailure) -> DeliveryFailure {
        var copy = failure
        copy.text = "delivery temporarily suspended: \(failure.text)"
        return copy
    }

    static let interrupted = DeliveryFailure(EnhancedStatusCode(4, 3, 2), "delivery interrupted: the mail system is stopping")

    /// One timer for all idle connections: those that have waited long enough, or that the server has closed, are given up.
    private func scheduleSweep() {
        guard !sweepIsScheduled else { return }
        sweepIsScheduled = true
        let bound = NIOLoopBound(self, eventLoop: executor.loop)
        executor.loop.scheduleTask(in: .seconds(1)) { bound.value.sweep() }
    }

    private func sweep() {
        sweepIsScheduled = false
        let now = NIODeadline.now()
        let expired = idle.filter { !$0.canWait || now - $0.waitingSince >= settings.reuse.idleLimit }
        idle.removeAll { worker in expired.contains { $0 === worker } }
        for worker in expired { worker.hand(nil) }
        if !idle.isEmpty { scheduleSweep() }
    }
}
