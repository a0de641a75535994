import NIOCore
import Synchronization

/// One turn of every event loop of a group: the proof that none of them is stuck.
final class LoopRound: Sendable {
    private let missing: Mutex<Int>
    private let body: @Sendable () -> Void

    private init(_ count: Int, _ body: @escaping @Sendable () -> Void) {
        missing = Mutex(count)
        self.body = body
    }

    /// Calls `body`, on some loop, when every loop has come round once more; never, when the group is shut down meanwhile. Does not wait.
    static func complete(_ group: any EventLoopGroup, then body: @escaping @Sendable () -> Void) {
        let loops = Array(group.makeIterator())
        let round = LoopRound(loops.count, body)
        // Not by futures: one that is dropped with its loop ends the process in a debug build.
        for loop in loops { loop.execute { round.oneTurned() } }
    }

    private func oneTurned() {
        let isLast = missing.withLock { missing in
            missing -= 1
            return missing == 0
        }
        if isLast { body() }
    }
}
