import NIOCore

/// Tasks of one loop that wait for the same thing, each up to a bound.
struct WaiterList<Value> {
    /// One waiting task; resumed once, by whoever comes first.
    final class Waiter {
        private var continuation: CheckedContinuation<Value?, Never>?
        var timer: Scheduled<Void>?

        init(_ continuation: CheckedContinuation<Value?, Never>) { self.continuation = continuation }

        var isWaiting: Bool { continuation != nil }

        func resume(_ value: sending Value?) {
            timer?.cancel()
            continuation?.resume(returning: value)
            continuation = nil
        }
    }

    private var box = Box()

    /// In the order in which they came. One whose time has passed stays in line as one that waits no more.
    private final class Box {
        var waiters = CircularBuffer<Waiter>()
        var count = 0
    }

    /// Nobody waits.
    var isEmpty: Bool { box.count == 0 }

    /// nil when the bound passed. Call and resume on `loop` only.
    func wait(on loop: any EventLoop, atMost limit: TimeAmount) async -> Value? {
        let box = box
        return await withCheckedContinuation { continuation in
            let waiter = Waiter(continuation)
            box.waiters.append(waiter)
            box.count += 1
            waiter.timer = loop.assumeIsolated().scheduleTask(in: limit) {
                guard waiter.isWaiting else { return }
                box.count -= 1
                waiter.resume(nil)
                while let first = box.waiters.first, !first.isWaiting { box.waiters.removeFirst() }
            }
        }
    }

    func resumeAll(_ value: Value) where Value: Sendable {
        let all = box.waiters
        box.waiters = CircularBuffer()
        box.count = 0
        for waiter in all { waiter.resume(value) }
    }

    /// The one that has waited longest.
    func resumeFirst(_ value: Value) where Value: Sendable {
        while let first = box.waiters.popFirst() {
            guard first.isWaiting else { continue }
            box.count -= 1
            return first.resume(value)
        }
    }
}
