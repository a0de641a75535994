import DequeModule
import Synchronization

/// A few threads for blocking work. In manual mode there are none, and work is done where it is handed in.
package final class WorkerPool: Sendable {
    private struct State {
        var work: Deque<@Sendable () -> Void> = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let available = Semaphore()
    private let threads = Mutex<[PlainThread]>([])
    private let isInline: Bool

    package init(threads count: Int, isInline: Bool = false) {
        self.isInline = isInline
        guard !isInline else { return }
        threads.withLock { $0 = (0..<max(count, 1)).map { _ in PlainThread { [self] in run() } } }
    }

    /// Never called with a lock held. False when the pool is closed, and the work will not be done.
    @discardableResult
    package func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        if isInline {
            work()
            return true
        }
        let isClosed = state.withLock { state in
            if !state.isClosed { state.work.append(work) }
            return state.isClosed
        }
        if !isClosed { available.post() }
        return !isClosed
    }

    /// Ends the threads after the work that is already there. Blocking.
    package func close() {
        state.withLock { $0.isClosed = true }
        let threads = threads.withLock { list in
            defer { list = [] }
            return list
        }
        for _ in threads { available.post() }
        for thread in threads { thread.join() }
    }

    private func run() {
        while true {
            available.wait()
            let (work, isClosed) = state.withLock { ($0.work.popFirst(), $0.isClosed) }
            if let work { work() } else if isClosed { return }
        }
    }
}
