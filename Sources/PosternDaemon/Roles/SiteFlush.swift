import Dispatch
import MailLog
import SMTPCore
import Spool
import Synchronization

/// What ETRN comes to in the queue role: deferred messages with a recipient in the named domains are tried now (flush(8)).
///
/// Anyone may say ETRN, and an answer costs a look at every deferred message on the disk. So there is one thread for it and one look at a
/// time, which serves all domains named meanwhile; after it the thread rests for several times as long as it took.
final class SiteFlush: Sendable {
    /// Domains that may wait for the next look.
    static let domainLimit = 1_000
    private static let page = 200
    /// Rest after a look, as a multiple of its duration, and in seconds at most.
    private static let rest = (factor: 4.0, limit: 60.0)

    private struct State {
        var domains: Set<String> = []
        var isStopping = false
        var hasOverflowed = false
    }

    private let spool: Spool
    private let clock: any SpoolClock
    private let log: MailLog
    private let onFlush: @Sendable () -> Void
    private let state = Mutex(State())
    private let wakeUp = DispatchSemaphore(value: 0)
    private let thread = Mutex<PlainThread?>(nil)

    /// - Parameter onFlush: called before messages are tried: destinations found dead get another chance, too.
    init(spool: Spool, clock: any SpoolClock, log: MailLog, onFlush: @escaping @Sendable () -> Void) {
        self.spool = spool
        self.clock = clock
        self.log = log
        self.onFlush = onFlush
        thread.withLock { $0 = PlainThread { [self] in run() } }
    }

    /// Takes note of a domain. Any thread; does not wait.
    func request(_ domain: String) {
        let (isFirst, isLost) = state.withLock { state -> (Bool, Bool) in
            guard state.domains.count < Self.domainLimit else {
                defer { state.hasOverflowed = true }
                return (false, !state.hasOverflowed)
            }
            state.domains.insert(domain.lowercased())
            return (state.domains.count == 1, false)
        }
        if isLost { log.warning("more than \(Self.domainLimit) domains wait to be flushed: further requests are dropped") }
        if isFirst { wakeUp.signal() }
    }

    /// Ends the thread, after the page it is at.
    func stop() {
        state.withLock { $0.isStopping = true }
        wakeUp.signal()
        let thread = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        thread?.join()
    }

    private var isStopping: Bool { state.withLock { $0.isStopping } }

    private func run() {
        while true {
            wakeUp.wait()
            let domains = state.withLock { state in
                defer { (state.domains, state.hasOverflowed) = ([], false) }
                return state.domains
            }
            if isStopping { return }
            if domains.isEmpty { continue }
            let began = clock.monotonicTime()
            look(for: domains)
            pause(min((clock.monotonicTime() - began) * Self.rest.factor, Self.rest.limit))
        }
    }

    private func look(for domains: Set<String>) {
        var last: QueueID?
        var hasFlushed = false
        repeat {
            do throws(SpoolError) {
                let found = spool.deferred(withRecipientsIn: domains, after: last, limit: Self.page)
                last = found.last
                if found.ids.isEmpty { continue }
                if !hasFlushed { onFlush() }
                hasFlushed = true
                _ = try spool.flush(found.ids)
            } catch {
                return log.warning("flush: \(error)")
            }
        } while last != nil && !isStopping
    }

    /// Sleeps in short pieces, so that the end of this role is noticed.
    private func pause(_ seconds: Double) {
        let end = clock.monotonicTime() + seconds
        while !isStopping, clock.monotonicTime() < end { _ = DispatchSemaphore(value: 0).wait(timeout: .now() + 0.1) }
    }
}
