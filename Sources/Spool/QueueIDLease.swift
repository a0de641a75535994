import DequeModule
package import SMTPCore
import Synchronization

/// Queue ids that are durably this process's to give out, and who waits for more of them.
struct QueueIDLease: Sendable {
    struct Waiter: Sendable {
        var count: UInt64
        var completion: @Sendable (Result<Range<UInt64>, SpoolError>) -> Void
        var failures = 0
    }

    /// A write that fails makes a new segment; the second attempt goes there.
    private static let attempts = 2

    private var next: UInt64
    private var limit: UInt64
    private var waiters: Deque<Waiter> = []

    init(first: UInt64) {
        next = first
        limit = first
    }

    var left: UInt64 { limit - next }
    /// Ids below this must be leased, so that everyone who waits can be served.
    var wanted: UInt64 { waiters.reduce(next) { $0 + $1.count } }

    /// The ids at once, if there are enough and nobody waits; otherwise `waiter` will be told.
    mutating func take(_ waiter: Waiter) -> Range<UInt64>? {
        guard waiters.isEmpty, left >= waiter.count else {
            waiters.append(waiter)
            return nil
        }
        return take(waiter.count)
    }

    private mutating func take(_ count: UInt64) -> Range<UInt64> {
        defer { next += count }
        return next..<next + count
    }

    /// More ids are durable. Returns who can be served, in the order in which they came.
    mutating func raise(to newLimit: UInt64) -> [(Waiter, Range<UInt64>)] {
        limit = max(limit, newLimit)
        var served: [(Waiter, Range<UInt64>)] = []
        while let first = waiters.first, left >= first.count {
            waiters.removeFirst()
            served.append((first, take(first.count)))
        }
        return served
    }

    var isWaitedFor: Bool { !waiters.isEmpty }

    /// A lease could not be written. Returns who is to be told; the others wait for the next attempt.
    mutating func fail(finally: Bool) -> [Waiter] {
        for index in waiters.indices { waiters[index].failures += finally ? Self.attempts : 1 }
        let lost = waiters.filter { $0.failures >= Self.attempts }
        waiters.removeAll { $0.failures >= Self.attempts }
        return Array(lost)
    }
}

extension Spool {
    /// Fresh queue ids, never given before or again. `completion` is called exactly once: here, if the lease holds enough, or on a thread of the
    /// spool, when a new one is durable or has failed. Does not wait.
    package func reserveQueueIDs(_ count: Int, completion: @escaping @Sendable (Result<Range<UInt64>, SpoolError>) -> Void) {
        let waiter = QueueIDLease.Waiter(count: UInt64(max(count, 1)), completion: completion)
        let (range, isLow) = core.lease.withLock { lease in (lease.take(waiter), lease.left < core.options.queueIDLease / 2) }
        if isLow || range == nil { core.requestLease() }
        if let range { completion(.success(range)) }
    }

    /// Blocking form of ``reserveQueueIDs(_:completion:)``.
    package func reserveQueueIDs(_ count: Int) throws(SpoolError) -> Range<UInt64> {
        let answer = Answer<Range<UInt64>>()
        reserveQueueIDs(count) { answer.set($0) }
        while core.options.isManual, !answer.isSet { core.turn() }
        return try answer.wait()
    }

    /// Blocking.
    package func reserveQueueID() throws(SpoolError) -> QueueID { QueueID(rawValue: try reserveQueueIDs(1).lowerBound) }

    /// No queue id at or above this one was given out before this process.
    package var firstQueueID: QueueID { QueueID(rawValue: core.firstQueueID) }
}

extension SpoolCore {
    func requestLease() {
        let limit = lease.withLock { $0.wanted } + options.queueIDLease
        if !submit({ $0.leaseUpTo = max($0.leaseUpTo ?? 0, limit) }) { failLease(.closed, finally: true) }
    }

    func raiseLease(to limit: UInt64) {
        let (served, isShort) = lease.withLock { lease in (lease.raise(to: limit), lease.isWaitedFor) }
        for (waiter, range) in served { waiter.completion(.success(range)) }
        if isShort { requestLease() }
    }

    func failLease(_ error: SpoolError, finally: Bool = false) {
        let (lost, isShort) = lease.withLock { lease in (lease.fail(finally: finally), lease.isWaitedFor) }
        for waiter in lost { waiter.completion(.failure(error)) }
        if isShort { requestLease() }
    }
}
