import Spool
import Synchronization

/// Clocks that stand still until a test turns them.
package final class SimulatedDiskClock: SpoolClock {
    private let times = Mutex((wall: 1_795_000_000.0, monotonic: 1_000.0))

    package init() {}

    package func wallTime() -> Double { times.withLock { $0.wall } }
    package func monotonicTime() -> Double { times.withLock { $0.monotonic } }
    /// Time passes.
    package func advance(_ seconds: Double) {
        times.withLock {
            $0.wall += seconds
            $0.monotonic += seconds
        }
    }
    /// The administrator sets the clock.
    package func step(_ seconds: Double) { times.withLock { $0.wall += seconds } }
}
