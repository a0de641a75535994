import Authentication
import LoopTask
import MailLog
import NIOCore
import Routing
import SMTPCore
import Spool
import Tables

/// One connection's worth of work: takes deliveries of its destination one after the other and keeps the connection between them.
/// Confined to its queue's loop.
final class DeliveryWorker {
    /// Its own, which knows the message that is being worked on.
    let executor: LoopExecutor
    private let queue: DestinationQueue
    private let log: MailLog
    private var first: Delivery?
    private var session: ClientSession?
    private var waiter: CheckedContinuation<Delivery?, Never>?
    private(set) var waitingSince: NIODeadline = .uptimeNanoseconds(0)
    private var isAborted = false
    /// Deliveries so far, the present one included.
    private(set) var served = 0

    init(queue: DestinationQueue, first: Delivery) {
        self.queue = queue
        self.first = first
        executor = LoopExecutor(queue.executor.loop)
        log = queue.environment.log.with(tag: queue.transport.logTag, processID: queue.environment.nextProcessID())
    }

    func run() async {
        queue.executor.loop.preconditionInEventLoop()
        var next = first
        first = nil
        while let delivery = next {
            served += 1
            executor.work(on: delivery.job.id.rawValue)
            await serve(delivery)
            executor.work(on: 0)
            next = await queue.next(for: self)
        }
        session?.end()
        session = nil
        queue.ended(self)
    }

    /// Has a connection that may carry another message.
    var canWait: Bool { session?.isReusable(at: .now()) ?? false }

    func wait(_ continuation: CheckedContinuation<Delivery?, Never>) {
        waiter = continuation
        waitingSince = .now()
    }

    /// Ends the wait; nil ends the worker.
    func hand(_ delivery: Delivery?) {
        let waiter = waiter
        self.waiter = nil
        waiter?.resume(returning: delivery)
    }

    /// Breaks the conversation off; what it carries is deferred.
    func abort() {
        isAborted = true
        session?.connection.close()
    }

    // MARK: - One delivery

    private func serve(_ delivery: Delivery) async {
        let attempt = DeliveryAttempt(delivery, log: log)
        defer { attempt.finish() }
        if delivery.job.mayBeDuplicate {
            log.info("\(delivery.job.id): this delivery may be a duplicate: the queue role ended during an earlier one")
        }
        do throws(DeliveryFailure) {
            if try await reuse(for: attempt) { return }
            let endpoints = try await EndpointFinder(settings: queue.settings, names: queue.environment.names).endpoints(for: queue.nextHop)
            try await tryInTurn(endpoints, attempt)
        } catch {
            attempt.settleAll(.failed(error), relay: "none")
        }
    }

    /// Sends over the connection kept from the message before. False: there is none that fits, or more is to be done elsewhere.
    private func reuse(for attempt: DeliveryAttempt) async throws(DeliveryFailure) -> Bool {
        guard let session else { return false }
        self.session = nil
        guard session.isReusable(at: .now()),
            try await login(for: attempt.delivery, host: session.endpoint.host, known: session) == session.wanted
        else {
            session.end()
            return false
        }
        await transmit(attempt, over: session, hasAlternative: false)
        return attempt.remaining == 0
    }

    /// The hosts in order, then those of `smtp_fallback_relay`, until nobody is left without a verdict.
    private func tryInTurn(_ primary: [Endpoint], _ attempt: DeliveryAttempt) async throws(DeliveryFailure) {
        var endpoints = primary
        var fallback = queue.settings.fallbackRelay
        var sessions = 0
        var index = 0
        var reached = false
        var last: (failure: DeliveryFailure, relay: String)?
        while attempt.remaining > 0, !isAborted {
            let sessionsLeft = queue.settings.sessionLimit <= 0 || sessions < queue.settings.sessionLimit
            if index >= endpoints.count || !sessionsLeft {
                guard let next = fallback.first else { break }
                fallback.removeFirst()
                sessions = 0
                index = 0
                let finder = EndpointFinder(settings: queue.settings, names: queue.environment.names)
                do throws(DeliveryFailure) { endpoints = try await finder.endpoints(for: next) } catch { endpoints = [] }
                continue
            }
            let endpoint = endpoints[index]
            index += 1
            let isLastSession = queue.settings.sessionLimit > 0 && sessions + 1 >= queue.settings.sessionLimit
            do throws(SessionOpener.Failure) {
                let session = try await open(endpoint, attempt)
                reached = true
                sessions += 1
                queue.noteSuccess()
                await transmit(attempt, over: session, hasAlternative: !(fallback.isEmpty && (index >= endpoints.count || isLastSession)))
            } catch {
                var relay = "none"
                if case .connect(let failure) = error {
                    log.info(failure.text)
                } else {
                    relay = endpoint.labelWithPort
                    if index < endpoints.count || !fallback.isEmpty { attempt.note(error.reason, relay: relay) }
                }
                last = (error.reason, relay)
            }
        }
        if let last, !reached { queue.noteFailure(last.failure) }
        let reason = last ?? attempt.lastNote ?? (DestinationQueue.interrupted, "none")
        attempt.settleAll(.failed(reason.failure), relay: reason.relay)
    }

    private func open(_ endpoint: Endpoint, _ attempt: DeliveryAttempt) async throws(SessionOpener.Failure) -> ClientSession {
        let wanted: SASLClient.Credentials?
        do throws(DeliveryFailure) { wanted = try await login(for: attempt.delivery, host: endpoint.host, known: nil) } catch {
            throw .handshake(error)
        }
        func opener(usesTLS: Bool) -> SessionOpener {
            SessionOpener(
                endpoint: endpoint,
                settings: queue.settings,
                credentials: wanted,
                usesTLS: usesTLS,
                loop: queue.executor.loop,
                log: log,
                notices: queue.environment.notices
            )
        }
        do throws(SessionOpener.Failure) {
            return adopt(try await opener(usesTLS: true).open(), wanted)
        } catch {
            guard case .tls = error, mayFallBack(attempt, wanted) else { throw error }
            attempt.note(error.reason, relay: endpoint.labelWithPort)
            return adopt(try await opener(usesTLS: false).open(), wanted)
        }
    }

    private func adopt(_ session: ClientSession, _ wanted: SASLClient.Credentials?) -> ClientSession {
        session.wanted = wanted
        return session
    }

    /// In the clear after a failed handshake: only where TLS is optional, nothing secret is sent, and the message has been waiting for some
    /// time already (as Postfix does).
    private func mayFallBack(_ attempt: DeliveryAttempt, _ wanted: SASLClient.Credentials?) -> Bool {
        let waited = attempt.delivery.queuedBefore + Double((NIODeadline.now() - attempt.delivery.activated).nanoseconds) / 1e9
        return queue.settings.tls.level == .may && !queue.settings.tls.isWrapped && wanted == nil
            && waited >= Double(queue.settings.minimalBackoff.nanoseconds) / 1e9
    }

    private func transmit(_ attempt: DeliveryAttempt, over session: ClientSession, hasAlternative: Bool) async {
        session.uses += 1
        if isAborted { session.connection.close() }
        self.session = session
        if attempt.connected == nil { attempt.connected = .now() }
        let transaction = SMTPTransaction(
            session: session,
            attempt: attempt,
            hasAlternative: hasAlternative,
            files: queue.environment.files
        )
        let ending = await transaction.run()
        if ending == .staleConnection { attempt.connected = nil }
        if ending == .staleConnection || !session.isReusable(at: .now()) {
            session.end()
            self.session = nil
        }
    }

    /// The login of `smtp_sasl_password_maps`: by sender if so configured, by host name, by next hop as written.
    private func login(for delivery: Delivery, host: String, known: ClientSession?) async throws(DeliveryFailure) -> SASLClient.Credentials?
    {
        guard let sasl = queue.settings.sasl else { return nil }
        if let known, sasl.senderLookup == nil { return known.wanted }
        return try await sasl.credentials(sender: delivery.job.envelope.sender, nextHop: queue.nextHop, host: host)
    }
}

extension ClientSASLSettings {
    /// nil when no key is in the tables. A table that fails defers: mail must not go out without the login it needs.
    func credentials(sender: Address, nextHop: String, host: String) async throws(DeliveryFailure) -> SASLClient.Credentials? {
        if let senderLookup, !sender.isNull, let found = try login(await senderLookup.find(sender, in: passwords, isLocal: false)) {
            return found
        }
        for key in nextHop == host ? [host] : [host, nextHop] {
            if let found = try login(await passwords.lookup(key)) { return found }
        }
        return nil
    }

    /// `username:password` taken apart.
    private func login(_ answer: LookupResult) throws(DeliveryFailure) -> SASLClient.Credentials? {
        switch answer {
        case .found(let text):
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return SASLClient.Credentials(username: String(parts[0]), password: parts.count > 1 ? String(parts[1]) : "")
        case .notFound: return nil
        case .failed: throw DeliveryFailure(EnhancedStatusCode(4, 3, 0), "SASL password lookup error")
        }
    }
}
