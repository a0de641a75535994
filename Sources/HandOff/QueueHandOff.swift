package import NIOCore
import NIOPosix
package import SMTPCore

/// The smtpd role's end: one for each event loop, over a socketpair to the queue role. All methods are called on that loop.
///
/// When the queue role ends, commits in flight fail (the client gets 451 and tries again) and new messages wait for ``attach(_:)`` with a
/// fresh socket, up to ``reconnectLimit``.
package final class QueueHandOff: MessageHandOff {
    /// How long a message waits for a queue role that is being restarted.
    static let reconnectLimit = TimeAmount.seconds(20)

    package let loop: any EventLoop
    package private(set) var storageIsShort = false
    private var channel: (any Channel)?
    private var outgoing = ByteBuffer()
    private var flushScheduled = false
    private var leases: [Range<UInt64>] = []
    /// The first id that was leased on this connection. Those of later leases are higher, those of earlier connections lower.
    private var firstID: UInt64?
    private var leaseRequested = false
    private var idWaiters = WaiterList<Void>()
    private var roomWaiters = WaiterList<Void>()
    private var commits: [QueueID: CheckedContinuation<HandOffResult?, Never>] = [:]

    package init(loop: any EventLoop) { self.loop = loop }

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
            .whenSuccess { channel in self.attached(channel) }
    }

    private func attached(_ channel: any Channel) {
        // The new connection may be here before the end of the old one has been noticed.
        let old = self.channel
        detach()
        old?.close(promise: nil)
        self.channel = channel
        requestLease()
    }

    /// Whether the queue role at the other end has leased this id. It ends the connection, with everyone's commits, at any other: a message
    /// that was begun before the queue role was restarted must not be sent to the new one.
    func isLeasedHere(_ id: QueueID) -> Bool { channel != nil && firstID.map { id.rawValue >= $0 } ?? false }

    package func reserveQueueID() async throws(HandOffFailure) -> QueueID {
        while true {
            if let id = takeID() { return id }
            guard await idWaiters.wait(on: loop, atMost: Self.reconnectLimit) != nil else {
                throw .unavailable("the queue role does not answer")
            }
        }
    }

    private func takeID() -> QueueID? {
        guard channel != nil, let first = leases.first else { return nil }
        if first.count == 1 { leases.removeFirst() } else { leases[0] = (first.lowerBound + 1)..<first.upperBound }
        if leases.isEmpty || (leases.count == 1 && leases[0].count < 256) { requestLease() }
        return QueueID(rawValue: first.lowerBound)
    }

    private func requestLease() {
        guard !leaseRequested, channel != nil else { return }
        leaseRequested = true
        send(.requestQueueIDs)
    }

    package func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer { QueueTransfer(self, id, envelope) }

    /// Frames of one turn of the loop leave in one write.
    func send(_ frame: HandOffFrame) {
        frame.encode(into: &outgoing)
        guard !flushScheduled else { return }
        flushScheduled = true
        loop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        flushScheduled = false
        guard let channel else { return outgoing.clear() }
        channel.writeAndFlush(outgoing, promise: nil)
        outgoing = channel.allocator.buffer(capacity: 4096)
    }

    /// Waits until the socket takes more, so that a large message does not pile up here.
    func waitForRoom() async throws(HandOffFailure) {
        guard let channel else { throw .unavailable("the queue role has ended") }
        if channel.isWritable, outgoing.readableBytes < HandOffFrame.wholeMessageLimit { return }
        if flushScheduled { flush() }
        while let channel = self.channel, !channel.isWritable {
            guard await roomWaiters.wait(on: loop, atMost: .seconds(300)) != nil else { throw .unavailable("the queue role is blocked") }
        }
        if self.channel == nil { throw .unavailable("the queue role has ended") }
    }

    func result(of id: QueueID) async throws(HandOffFailure) {
        guard channel != nil else { throw .unavailable("the queue role has ended") }
        let result = await withCheckedContinuation { commits[id] = $0 }
        switch result {
        case .stored: return
        case .insufficientStorage: throw .insufficientStorage
        case .writeError: throw .writeError("the queue role could not write the message")
        case nil: throw .unavailable("the queue role ended while the message was being stored")
        }
    }

    func received(_ frame: HandOffFrame) throws(MalformedFrame) {
        switch frame {
        case .queueIDs(let first, let count):
            leaseRequested = false
            let (end, overflow) = first.rawValue.addingReportingOverflow(UInt64(count))
            if overflow { throw MalformedFrame() }
            if count > 0 {
                leases.append(first.rawValue..<end)
                if firstID == nil { firstID = first.rawValue }
            }
            idWaiters.resumeAll(())
        case .completed(let results):
            for (id, result) in results { commits.removeValue(forKey: id)?.resume(returning: result) }
        case .storage(let isShort): storageIsShort = isShort
        default: throw MalformedFrame()
        }
    }

    func becameWritable() { roomWaiters.resumeAll(()) }

    func closed(_ channel: any Channel) {
        if self.channel === channel { detach() }
    }

    /// Forgets the connection: what was under way on it has failed, and nothing meant for it may be sent on the next one.
    private func detach() {
        channel = nil
        leases = []
        firstID = nil
        leaseRequested = false
        outgoing.clear()
        let lost = commits
        commits = [:]
        for continuation in lost.values { continuation.resume(returning: nil) }
        roomWaiters.resumeAll(())
    }
}

/// Reads frames for a ``QueueHandOff``.
private final class QueueHandOffHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let owner: QueueHandOff
    private var reader = FrameReader()

    init(owner: QueueHandOff) { self.owner = owner }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try reader.feed(unwrapInboundIn(data)) { (frame) throws(MalformedFrame) in try owner.received(frame) }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { owner.becameWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) { owner.closed(context.channel) }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
