package import HandOff
package import LoopTask
package import NIOCore

/// Serves one connection: adds the session's handlers to `channel` and starts its task. Call it on the channel's loop, in the child
/// initializer, with nothing else in the pipeline. `executor.loop` is the channel's loop, and `handOff` belongs to that loop.
package func startSession(
    on channel: any Channel,
    service: SubmissionService,
    executor: LoopExecutor,
    handOff: any MessageHandOff
) throws {
    channel.eventLoop.preconditionInEventLoop()
}
