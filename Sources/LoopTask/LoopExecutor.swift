package import NIOCore

/// Runs a task's code on one event loop, so that a session written as async code never leaves the thread its channel lives on.
///
/// A plain class and this executor cost 8 % more than bare handlers; an actor bound to the loop costs 50 % (Docs/design.md, section 4).
package final class LoopExecutor: TaskExecutor {
    package let loop: any EventLoop

    package init(_ loop: any EventLoop) { self.loop = loop }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        // Not `loop.enqueue(job)`: that runs the job under the loop's serial identity and every nested call queues again.
        loop.execute { unsafe job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Starts `body` as a task that stays on the executor's loop. This is the one place where tasks are created; `make lint` bans `Task {`
/// and `Task.detached` elsewhere, because a class shared between a channel handler and a task on another thread would compile.
@discardableResult
package func startLoopTask(on executor: LoopExecutor, _ body: sending @escaping () async -> Void) -> Task<Void, Never> {
    Task(executorPreference: executor) { await body() }
}
