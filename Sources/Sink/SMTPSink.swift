package import NIOCore
internal import NIOPosix
internal import Synchronization
internal import TLS

/// A small downstream MTA that takes every message: what `postern sink` runs, and what tests deliver to.
///
///     let sink = try await SMTPSink.start(SinkConfiguration(), group: group)
///     ... deliver to 127.0.0.1, port sink.port ...
///     #expect(await sink.hasMessages(3))
///     try await sink.stop()
package final class SMTPSink: Sendable {
    /// Called for each message, one at a time and off the loops, before its reply; a throw turns the reply into 451.
    package typealias Consumer = @Sendable (SinkMessage) throws -> Void

    private struct State: Sendable {
        var count = 0
        var messages: [SinkMessage] = []
        var connections = 0
        var stages: [SinkFault.Stage: Int] = [:]
        var open: [ObjectIdentifier: any Channel] = [:]
        var isStopping = false
    }

    package let configuration: SinkConfiguration
    private let consumer: Consumer?
    private let pool: NIOThreadPool
    private let state = Mutex(State())
    private let listener = Mutex<(any Channel)?>(nil)

    private init(_ configuration: SinkConfiguration, consumer: Consumer?) {
        self.configuration = configuration
        self.consumer = consumer
        pool = NIOThreadPool(numberOfThreads: 1)
    }

    /// Binds and listens. A unix socket that exists is replaced.
    package static func bind(
        _ configuration: SinkConfiguration,
        group: any EventLoopGroup,
        consumer: Consumer? = nil
    ) -> EventLoopFuture<SMTPSink> {
        let sink = SMTPSink(configuration, consumer: consumer)
        if consumer != nil { sink.pool.start() }
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.maxMessagesPerRead, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if sink.configuration.isTLSWrapper, let tls = sink.configuration.tls {
                        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: tls, role: .server))
                    }
                    try channel.pipeline.syncOperations.addHandler(SinkSession(sink: sink))
                }
            }
        let bound =
            switch configuration.endpoint {
            case .inet(let host, let port): bootstrap.bind(host: host, port: port)
            case .unix(let path): bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true)
            }
        return bound.map { channel in
            sink.listener.withLock { $0 = channel }
            return sink
        }
    }

    package static func start(
        _ configuration: SinkConfiguration = SinkConfiguration(),
        group: any EventLoopGroup,
        consumer: Consumer? = nil
    ) async throws -> SMTPSink {
        try await bind(configuration, group: group, consumer: consumer).get()
    }

    /// The port listened on; 0 for a unix socket.
    package var port: Int { listener.withLock { $0?.localAddress?.port ?? 0 } }

    /// Messages taken, each counted before its positive reply is sent.
    package var count: Int { state.withLock { $0.count } }

    /// The messages taken, in the order of their numbers, if the configuration keeps them.
    package var messages: [SinkMessage] { state.withLock { $0.messages } }

    /// Connections accepted so far.
    package var connections: Int { state.withLock { $0.connections } }

    /// Waits until at least `count` messages are there; false if that takes longer than `limit`.
    package func hasMessages(_ count: Int, within limit: Duration = .seconds(20)) async -> Bool {
        let end = ContinuousClock.now + limit
        while self.count < count {
            guard ContinuousClock.now < end, !Task.isCancelled else { return self.count >= count }
            try? await Task.sleep(for: .milliseconds(5))
        }
        return true
    }

    /// Closes the listener and all connections.
    package func stop() async throws {
        let channel = listener.withLock { $0 }
        try? await channel?.close()
        let open = state.withLock { state in
            state.isStopping = true
            return Array(state.open.values)
        }
        for channel in open { try? await channel.close() }
        if consumer != nil { try await pool.shutdownGracefully() }
    }

    // MARK: For sessions

    /// False if the sink is being stopped.
    func opened(_ channel: any Channel) -> Bool {
        state.withLock { state in
            guard !state.isStopping else { return false }
            state.connections += 1
            state.open[ObjectIdentifier(channel)] = channel
            return true
        }
    }

    func closed(_ channel: any Channel) {
        state.withLock { _ = $0.open.removeValue(forKey: ObjectIdentifier(channel)) }
    }

    /// Counts an arrival at the stage and says whether it goes wrong.
    func fault(at stage: SinkFault.Stage) -> SinkFault.Action? {
        guard !configuration.faults.isEmpty else { return nil }
        let count = state.withLock { state in
            state.stages[stage, default: 0] += 1
            return state.stages[stage, default: 0]
        }
        return configuration.faults.first { $0.stage == stage && $0.occasion.includes(count) }?.action
    }

    /// Takes a message: counted, kept and consumed when the future succeeds. nil when that has happened already.
    func take(_ message: SinkMessage, on loop: any EventLoop) -> EventLoopFuture<Void>? {
        guard let consumer else {
            record(message)
            return nil
        }
        return pool.runIfActive(eventLoop: loop) {
            // The pool has one thread, so this is the number `record` gives.
            var numbered = message
            numbered.number = self.count + 1
            try consumer(numbered)
            self.record(message)
        }
    }

    private func record(_ message: SinkMessage) {
        state.withLock { state in
            state.count += 1
            guard configuration.keepsMessages else { return }
            var numbered = message
            numbered.number = state.count
            state.messages.append(numbered)
        }
    }
}
