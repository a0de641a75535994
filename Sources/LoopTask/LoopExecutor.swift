import CLinux
package import NIOCore
import Synchronization

/// Runs a task's code on one event loop, so that a session written as async code never leaves the thread its channel lives on.
///
/// A plain class and this executor cost 8 % more than bare handlers; an actor bound to the loop costs 50 % (Docs/design.md, section 4).
package final class LoopExecutor: TaskExecutor {
    package let loop: any EventLoop

    /// What its task works on; see ``work(on:)``.
    private let mark = Atomic<UInt64>(0)

    package init(_ loop: any EventLoop) { self.loop = loop }

    /// An executor of its own for a task that works on one message, or on one after the other.
    package init(_ loop: any EventLoop, workingOn message: UInt64) {
        self.loop = loop
        mark.store(message, ordering: .relaxed)
    }

    /// From here on, whatever the task does, step by step, it does for that message; 0 for none. On the loop, in a step of the task, and only
    /// with an executor that no other task shares.
    package func work(on message: UInt64) {
        mark.store(message, ordering: .relaxed)
        WorkMark.set(message)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // Not `loop.enqueue(job)`: that runs the job under the loop's serial identity and every nested call queues again.
        loop.execute {
            let message = self.mark.load(ordering: .relaxed)
            if message != 0 { WorkMark.set(message) }
            unsafe job.runSynchronously(on: self.asUnownedTaskExecutor())
            // Between two steps the thread works for others.
            if message != 0 || self.mark.load(ordering: .relaxed) != 0 { WorkMark.set(0) }
        }
    }
}

/// Which message this thread is working on, so that a fault tells (Docs/spool.md, "Poison"). Messages that merely wait are not marked: a
/// process that is killed while a thousand of them wait for the network blames none.
package enum WorkMark {
    /// The part of the program that delivers; the spool has its own.
    private static let delivery: UInt64 = 1

    static func set(_ message: UInt64) { _ = postern_work_on(message, delivery) }

    /// Runs `body` for that message.
    package static func during<R>(_ message: UInt64, _ body: () throws -> R) rethrows -> R {
        let place = postern_work_place()
        let previous = postern_work_on(message, delivery)
        defer { _ = postern_work_on(previous, place) }
        return try body()
    }
}

/// Starts `body` as a task that stays on the executor's loop. This is the one place where tasks are created; `make lint` bans `Task {`
/// and `Task.detached` elsewhere, because a class shared between a channel handler and a task on another thread would compile.
@discardableResult
package func startLoopTask(on executor: LoopExecutor, _ body: sending @escaping () async -> Void) -> Task<Void, Never> {
    Task(executorPreference: executor) { await body() }
}
