package import NIOCore
import NIOPosix
package import SMTPCore

/// What the smtpd role waits for, and how long.
package struct HandOffLimits: Sendable {
    /// For a queue role that is being restarted.
    package var reconnect = TimeAmount.seconds(20)
    /// For the answer to a commit: what is stored later than this may come a second time, as the client sends it again.
    package var answer = TimeAmount.seconds(300)
    /// Messages that may be arriving in chunks at the same time; further ones wait for one of them to end.
    package var openMessages = HandOffFrame.openMessageLimit

    package init() {}

    /// With a fair part of so many descriptors, which the queue role has, too.
    package init(descriptors: Int) { openMessages = min(max(descriptors / 8, 16), HandOffFrame.openMessageLimit) }
}

/// The smtpd role's end: one for each event loop, over a socketpair to the queue role. All methods are called on that loop.
///
/// When the queue role ends, what is in flight fails (the client gets 451 and tries again), and new messages wait for ``attach(_:)`` with a
/// fresh socket, up to ``HandOffLimits/reconnect``. When it is replaced, nothing fails: it finishes what has been begun (``HandOffConnection``).
package final class QueueHandOff: MessageHandOff {
    package let loop: any EventLoop
    package private(set) var storageIsShort = false
    private var connection: HandOffConnection?
    private var leases: [Range<UInt64>] = []
    private var leaseRequested = false
    private var idWaiters = WaiterList<Void>()
    private var connectionWaiters = WaiterList<Void>()

    fileprivate let limits: HandOffLimits

    package init(loop: any EventLoop, limits: HandOffLimits = HandOffLimits()) {
        self.loop = loop
        self.limits = limits
    }

    /// Adopts a connected stream socket to the queue role, at start or after the queue role was restarted.
    package func attach(_ descriptor: CInt) {
        let handler = NIOLoopBound(QueueHandOffHandler(owner: self), eventLoop: loop)
        ClientBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 16)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .withConnectedSocket(descriptor)
            .assumeIsolated()
            .whenSuccess { channel in self.attached(handler.value.connection(channel)) }
    }

    private func attached(_ fresh: HandOffConnection) {
        // It may be here before the end of the old one has been noticed.
        connection?.close()
        connection = fresh
        leases = []
        leaseRequested = false
        requestLease()
        connectionWaiters.resumeAll(())
    }

    package func reserveQueueID() async throws(HandOffFailure) -> QueueID {
        while true {
            if let id = takeID() { return id }
            guard await idWaiters.wait(on: loop, atMost: limits.reconnect) != nil else {
                throw .unavailable("the queue role does not answer")
            }
        }
    }

    private func takeID() -> QueueID? {
        guard connection != nil, let first = leases.first else { return nil }
        if first.count == 1 { leases.removeFirst() } else { leases[0] = (first.lowerBound + 1)..<first.upperBound }
        if leases.isEmpty || (leases.count == 1 && leases[0].count < 256) { requestLease() }
        return QueueID(rawValue: first.lowerBound)
    }

    private func requestLease() {
        guard !leaseRequested, let connection else { return }
        leaseRequested = true
        connection.send(.requestQueueIDs)
    }

    /// The queue role had none to give, as its disk is full or fails. Nobody else asks again once the last id is gone.
    private func requestLeaseLater(_ connection: HandOffConnection) {
        loop.assumeIsolated().scheduleTask(in: .seconds(1)) {
            guard connection === self.connection else { return }
            self.leaseRequested = false
            self.requestLease()
        }
    }

    package func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer { QueueTransfer(self, id, envelope) }

    package func flush(domain: String) -> Bool { connection?.flush(domain: domain) ?? false }

    /// Whether a new message would go on at once.
    package var isConnected: Bool { connection != nil }

    /// The connection for a new message; waits while the queue role is being restarted.
    func usableConnection() async throws(HandOffFailure) -> HandOffConnection {
        while true {
            if let connection { return connection }
            guard await connectionWaiters.wait(on: loop, atMost: limits.reconnect) != nil else {
                throw .unavailable("the queue role does not answer")
            }
        }
    }

    fileprivate func received(_ frame: HandOffFrame, on connection: HandOffConnection) throws(MalformedFrame) {
        switch frame {
        case .queueIDs(let first, let count):
            let (end, overflow) = first.rawValue.addingReportingOverflow(UInt64(count))
            if overflow { throw MalformedFrame() }
            guard connection === self.connection else { return }
            guard count > 0 else { return requestLeaseLater(connection) }
            leaseRequested = false
            leases.append(first.rawValue..<end)
            idWaiters.resumeAll(())
        case .completed(let results): connection.completed(results)
        case .storage(let isShort): if connection === self.connection { storageIsShort = isShort }
        case .draining:
            forget(connection)
            connection.drain()
        default: throw MalformedFrame()
        }
    }

    fileprivate func closed(_ connection: HandOffConnection) {
        forget(connection)
        connection.closed()
    }

    /// New messages wait for the next connection.
    private func forget(_ connection: HandOffConnection) {
        guard connection === self.connection else { return }
        self.connection = nil
        leases = []
        leaseRequested = false
    }
}

/// Reads frames for a ``QueueHandOff``.
private final class QueueHandOffHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let owner: QueueHandOff
    private var connection: HandOffConnection?
    private var reader = FrameReader()

    init(owner: QueueHandOff) { self.owner = owner }

    /// The connection over `channel`, which this handler is in.
    func connection(_ channel: any Channel) -> HandOffConnection {
        let connection = self.connection ?? HandOffConnection(channel, owner.limits)
        self.connection = connection
        return connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let connection = connection(context.channel)
        do {
            try reader.feed(unwrapInboundIn(data)) { (frame) throws(MalformedFrame) in try owner.received(frame, on: connection) }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { connection?.becameWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if let connection { owner.closed(connection) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
