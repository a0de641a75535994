import Synchronization

/// A result that one thread waits for and another one brings.
final class Answer<Value: Sendable>: Sendable {
    private let result = Mutex<Result<Value, SpoolError>?>(nil)
    private let arrived = Semaphore()

    func set(_ value: Result<Value, SpoolError>) {
        result.withLock { $0 = value }
        arrived.post()
    }

    var isSet: Bool { result.withLock { $0 != nil } }

    /// Blocking. One caller only.
    func wait() throws(SpoolError) -> Value {
        while true {
            if let result = result.withLock({ $0 }) { return try result.get() }
            arrived.wait()
        }
    }
}
