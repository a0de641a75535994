import NIOCore

/// Tasks of one loop that wait for the same thing, each up to a bound.
struct WaiterList<Value> {
    /// One waiting task; resumed once, by whoever comes first.
    final class Waiter {
        private var continuation: CheckedContinuation<Value?, Never>?

        init(_ continuation: CheckedContinuation<Value?, Never>) { self.continuation = continuation }

        func resume(_ value: sending Value?) {
            continuation?.resume(returning: value)
            continuation = nil
        }
    }

    private var box = Box()

    private final class Box { var waiters: [Waiter] = [] }

    /// nil when the bound passed. Call and resume on `loop` only.
    func wait(on loop: any EventLoop, atMost limit: TimeAmount) async -> Value? {
        let box = box
        return await withCheckedContinuation { continuation in
            let waiter = Waiter(continuation)
            box.waiters.append(waiter)
            loop.assumeIsolated().scheduleTask(in: limit) {
                guard let index = box.waiters.firstIndex(where: { $0 === waiter }) else { return }
                box.waiters.remove(at: index)
                waiter.resume(nil)
            }
        }
    }

    func resumeAll(_ value: Value) where Value: Sendable {
        let all = box.waiters
        box.waiters = []
        for waiter in all { waiter.resume(value) }
    }
}
