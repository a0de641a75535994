package import HandOff
package import LoopTask
package import NIOCore
import SMTPCore

/// Serves one connection: adds the session's handler to `channel` and starts its task. Call it on the channel's loop, in the child
/// initializer, with nothing else in the pipeline. `executor.loop` is the channel's loop, and `handOff` belongs to that loop.
/// - Throws: when the channel is closed already.
package func startSession(
    on channel: any Channel,
    service: SubmissionService,
    executor: LoopExecutor,
    handOff: any MessageHandOff
) throws {
    channel.eventLoop.preconditionInEventLoop()
    let peer = Session.Peer(
        address: channel.remoteAddress?.ipAddress.flatMap { IPAddress($0) }?.unmapped ?? .v4(0),
        port: channel.remoteAddress?.port ?? 0,
        serverAddress: channel.localAddress?.ipAddress ?? ""
    )
    // A client may close its side and still wait for the replies.
    try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    let feeder = SessionFeeder()
    try channel.pipeline.syncOperations.addHandler(feeder)
    let number = service.registry.add(feeder, on: channel.eventLoop)
    let service = service.forNewSession()
    let session = NIOLoopBound(Session(service, feeder, handOff, peer, number: number), eventLoop: channel.eventLoop)
    startLoopTask(on: executor) { await session.value.run() }
}
