import LoopTask
import MailLog
import NIOCore
import NIOPosix
package import Routing
package import SMTPCore
import Spool

/// Where an address leads, as ``AddressRouter`` answers: the recipient and the sender of its message.
package typealias RecipientResolver = @Sendable (_ recipient: Address, _ sender: Address) async -> AddressResolution

/// Takes jobs, spreads their recipients over the destinations, collects the verdicts and reports. Confined to the first loop.
final class Coordinator {
    private struct DestinationKey: Hashable {
        var transport: String
        var nextHop: String
    }

    /// A destination's queue, which may live on another loop.
    private struct Destination {
        var queue: NIOLoopBoundBox<DestinationQueue>
        var executor: LoopExecutor
        var deliveries = 0
    }

    private let configuration: RelayConfiguration
    private let resolver: RecipientResolver
    private let environment: RelayEnvironment
    private let executors: [LoopExecutor]
    private let ledger: any DeliveryLedger
    private let queueLog: MailLog
    private var destinations: [DestinationKey: Destination] = [:]
    private var destinationsBeforeCleaning = 1024
    private var nextExecutor = 0
    private var messages: [ObjectIdentifier: MessageInProgress] = [:]
    private var isStopping = false
    private var whenEmpty: EventLoopPromise<Void>?

    init(
        configuration: RelayConfiguration,
        resolver: @escaping RecipientResolver,
        environment: RelayEnvironment,
        executors: [LoopExecutor],
        ledger: any DeliveryLedger
    ) {
        self.configuration = configuration
        self.resolver = resolver
        self.environment = environment
        self.executors = executors
        self.ledger = ledger
        queueLog = environment.log.with(tag: "\(configuration.queue.syslogName)/qmgr")
    }

    private var loop: any EventLoop { executors[0].loop }

    // MARK: - Taking a job

    func accept(_ job: DeliveryJob) {
        WorkMark.during(job.id.rawValue) { take(job) }
    }

    private func take(_ job: DeliveryJob) {
        let message = MessageInProgress(job)
        messages[ObjectIdentifier(message)] = message
        queueLog.info(
            "\(job.id): from=<\(job.envelope.sender)>, size=\(job.content.size), nrcpt=\(job.envelope.recipients.count) (queue active)"
        )
        let bound = NIOLoopBound((self, message), eventLoop: loop)
        startLoopTask(on: LoopExecutor(loop, workingOn: job.id.rawValue)) {
            let (coordinator, message) = bound.value
            await coordinator.route(message)
        }
    }

    private func route(_ message: MessageInProgress) async {
        // Held until all are resolved: a report must not be made while recipients are still without a destination.
        message.outstanding = 1
        var groups: [(key: DestinationKey, indices: [Int])] = []
        // The group of each destination that was begun last: the others are full. A search would cost the square of the recipients' number.
        var latest: [DestinationKey: Int] = [:]
        for index in message.job.envelope.recipients.indices {
            let recipient = message.job.envelope.recipients[index]
            let key: DestinationKey
            if let filter = message.job.envelope.contentFilter {
                key = destinationKey(of: filter, for: recipient.address)
            } else {
                let resolution = await resolver(recipient.address, message.job.envelope.sender)
                message.job.adopt(resolution.recipient, at: index)
                key = destinationKey(of: resolution)
            }
            // A sender for each recipient: a delivery for each.
            let isAlone = message.job.envelope.verpDelimiters != nil
            if !isAlone, let position = latest[key], hasRoom(groups[position].indices.count, key) {
                groups[position].indices.append(index)
            } else {
                latest[key] = groups.count
                groups.append((key, [index]))
            }
        }
        loop.preconditionInEventLoop()
        message.outstanding += groups.count
        for group in groups { dispatch(message, group.key, group.indices) }
        settle(message)
    }

    /// What cannot be resolved goes the way of the `error` and `retry` transports, which is how Postfix treats it.
    private func destinationKey(of resolution: AddressResolution) -> DestinationKey {
        switch resolution.outcome {
        case .illegal: DestinationKey(transport: "error", nextHop: "5.1.3 bad address syntax")
        case .failed: DestinationKey(transport: "retry", nextHop: "4.3.0 address resolver failure")
        case .resolved: destinationKey(resolution.transport, resolution.nextHop)
        }
    }

    /// All recipients go to the filter: it hands them back, or sends them on itself.
    private func destinationKey(of filter: ContentFilter, for recipient: Address) -> DestinationKey {
        var nextHop = filter.nextHop.isEmpty ? configuration.queue.filterNextHop : filter.nextHop
        if nextHop.isEmpty { nextHop = recipient.domain ?? "" }
        return destinationKey(filter.transport, nextHop)
    }

    private func destinationKey(_ transport: String, _ nextHop: String) -> DestinationKey {
        if configuration.queue.deferredTransports.contains(transport) {
            return DestinationKey(transport: "retry", nextHop: "4.3.2 deferred transport")
        }
        return DestinationKey(transport: transport, nextHop: nextHop)
    }

    private func hasRoom(_ count: Int, _ key: DestinationKey) -> Bool {
        let limit = configuration.catalogue.transport(key.transport)?.recipientLimit ?? 50
        // Even without a limit a transaction stays within what RFC 5321 section 4.5.3.1.8 lets a client expect many times over.
        return count < (limit > 0 ? min(limit, 1000) : 1000)
    }

    private func dispatch(_ message: MessageInProgress, _ key: DestinationKey, _ indices: [Int]) {
        let transport = configuration.catalogue.transport(key.transport)
        let delivery = Delivery(
            job: message.job,
            indices: indices,
            transport: transport ?? configuration.catalogue.unknownTransport(named: key.transport),
            nextHop: key.nextHop,
            activated: message.activated,
            queuedBefore: message.queuedBefore,
            completion: completion(of: message, key)
        )
        guard let transport, case .client(let settings) = transport.kind else {
            LocalDelivery.perform(delivery, isUnknown: transport == nil, log: environment.log.with(processID: environment.nextProcessID()))
            return
        }
        let destination = destination(key, transport, settings)
        destinations[key]?.deliveries += 1
        let queue = destination.queue
        if destination.executor.loop.inEventLoop {
            queue.value.enqueue(delivery)
        } else {
            destination.executor.loop.execute { queue.value.enqueue(delivery) }
        }
    }

    private func destination(_ key: DestinationKey, _ transport: Transport, _ settings: ClientSettings) -> Destination {
        if let known = destinations[key] { return known }
        let executor = executors[nextExecutor % executors.count]
        nextExecutor += 1
        let queue = DestinationQueue(
            transport: transport,
            settings: settings,
            nextHop: key.nextHop,
            executor: executor,
            environment: environment
        )
        let destination = Destination(queue: .makeBoxSendingValue(queue, eventLoop: executor.loop), executor: executor)
        if destinations.count >= destinationsBeforeCleaning { forgetIdleDestinations() }
        destinations[key] = destination
        return destination
    }

    /// Mail to many domains must not let the table grow for ever. A queue without deliveries ends its idle connections by itself.
    private func forgetIdleDestinations() {
        destinations = destinations.filter { $0.value.deliveries > 0 }
        // Where nearly all are busy, looking through them again for each new one would cost the square of their number.
        destinationsBeforeCleaning = max(1024, destinations.count * 2)
    }

    // MARK: - Verdicts

    private func completion(of message: MessageInProgress, _ key: DestinationKey) -> @Sendable (Delivery, [RecipientResult]) -> Void {
        let bound = NIOLoopBound((self, message), eventLoop: loop)
        let loop = loop
        return { delivery, results in
            @Sendable func take() {
                let (coordinator, message) = bound.value
                WorkMark.during(message.job.id.rawValue) { coordinator.take(results, of: delivery, for: message, key) }
            }
            if loop.inEventLoop { take() } else { loop.execute { take() } }
        }
    }

    private func take(_ results: [RecipientResult], of delivery: Delivery, for message: MessageInProgress, _ key: DestinationKey) {
        for (position, index) in delivery.indices.enumerated() { message.results[index] = results[position] }
        destinations[key]?.deliveries -= 1
        settle(message)
    }

    private func settle(_ message: MessageInProgress) {
        message.outstanding -= 1
        guard message.outstanding == 0, !message.isReported else { return }
        message.isReported = true
        let reporter = Reporter(configuration: configuration, log: environment.log, ledger: ledger, files: environment.files)
        guard reporter.hasMoreToTell(of: message) else {
            reporter.report(message)
            return finished(message)
        }
        let bound = NIOLoopBound((self, message), eventLoop: loop)
        startLoopTask(on: LoopExecutor(loop, workingOn: message.job.id.rawValue)) {
            let (coordinator, message) = bound.value
            await reporter.conclude(message)
            coordinator.finished(message)
        }
    }

    private func finished(_ message: MessageInProgress) {
        messages[ObjectIdentifier(message)] = nil
        if messages.isEmpty, let promise = whenEmpty {
            whenEmpty = nil
            promise.succeed()
        }
    }

    // MARK: - Administration

    func flush() {
        for destination in destinations.values {
            let queue = destination.queue
            destination.executor.loop.execute { queue.value.revive() }
        }
    }

    /// Hands back what waits; the future is done when nothing is in delivery any more.
    func beginShutdown() -> EventLoopFuture<Void> {
        isStopping = true
        for destination in destinations.values {
            let queue = destination.queue
            destination.executor.loop.execute { queue.value.beginShutdown() }
        }
        if messages.isEmpty { return loop.makeSucceededVoidFuture() }
        let promise = loop.makePromise(of: Void.self)
        whenEmpty = promise
        return promise.futureResult
    }

    /// Breaks off what is still going on, and soon after reports whatever has not come to an end by then (a connection being made).
    func abort() {
        for destination in destinations.values {
            let queue = destination.queue
            destination.executor.loop.execute { queue.value.abort() }
        }
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: .milliseconds(500)) { bound.value.giveUp() }
    }

    private func giveUp() {
        let reporter = Reporter(configuration: configuration, log: environment.log, ledger: ledger, files: environment.files)
        // Those already on their way to the ledger come to their end by themselves.
        for message in messages.values where !message.isReported {
            message.isReported = true
            reporter.deferRest(message, DestinationQueue.interrupted)
            finished(message)
        }
    }
}
