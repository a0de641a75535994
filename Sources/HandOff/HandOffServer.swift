package import NIOCore
import NIOPosix
package import SMTPCore
import Synchronization

/// What the queue role does with messages that arrive: the spool, behind a protocol so that this room knows no files.
/// Called on event loops; must not block.
package protocol MessageIntake: AnyObject, Sendable {
    /// A durable lease of fresh ids. May be called from any loop.
    func leaseQueueIDs(_ count: UInt32) throws -> Range<UInt64>
    /// Whether an earlier queue role has leased this id, durably: a message whose session began before a restart is still welcome.
    func wasLeasedEarlier(_ id: QueueID) -> Bool
    func accept(_ id: QueueID, _ envelope: Envelope, _ content: ByteBuffer, receipt: IntakeReceipt)
    func begin(_ id: QueueID, _ envelope: Envelope) -> any LargeMessageIntake
    var storageIsShort: Bool { get }
}

/// A large message arriving in chunks.
package protocol LargeMessageIntake: AnyObject {
    /// `taken` is called, on any thread, when the bytes no longer take memory; with an error text when the message can no longer be stored.
    func append(_ bytes: ByteBuffer, taken: @escaping @Sendable () -> Void)
    func commit(receipt: IntakeReceipt)
    func abort()
}

/// Tells one connection the result of one commit; callable from any thread, once.
package struct IntakeReceipt: Sendable {
    let id: QueueID
    let results: CompletedResults

    package func completed(_ result: HandOffResult) { results.append(id, result) }
}

/// Results on their way back to a loop: the writer's thread appends, the loop is woken once for a batch.
package final class CompletedResults: Sendable {
    private let pending = Mutex<[(id: QueueID, result: HandOffResult)]>([])
    private let loop: any EventLoop
    private let deliver: @Sendable ([(id: QueueID, result: HandOffResult)]) -> Void

    init(loop: any EventLoop, deliver: @escaping @Sendable ([(id: QueueID, result: HandOffResult)]) -> Void) {
        self.loop = loop
        self.deliver = deliver
    }

    func append(_ id: QueueID, _ result: HandOffResult) {
        let wasEmpty = pending.withLock { pending in
            pending.append((id, result))
            return pending.count == 1
        }
        if wasEmpty { loop.execute { self.deliver(self.take()) } }
    }

    private func take() -> [(id: QueueID, result: HandOffResult)] {
        pending.withLock { pending in
            let all = pending
            pending.removeAll(keepingCapacity: true)
            return all
        }
    }
}

/// The queue role's end of one connection.
package final class HandOffServer: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Large-message bytes of one connection that may wait for the disk before reading stops.
    private static let appetite = 4 << 20
    private static let leaseSize: UInt32 = 2048

    private let intake: any MessageIntake
    private var reader = FrameReader()
    private var leases: [Range<UInt64>] = []
    private var large: [QueueID: any LargeMessageIntake] = [:]
    private var results: CompletedResults?
    private var storageReports: RepeatedTask?
    private var unwritten = 0
    private var storageWasShort = false
    private var readPending = false

    package init(intake: any MessageIntake) { self.intake = intake }

    /// Serves a connected stream socket on `loop` until the other side closes it.
    /// - Returns: its channel, for ``HandOffConnections``.
    @discardableResult
    package static func serve(_ descriptor: CInt, intake: any MessageIntake, on loop: any EventLoop) -> EventLoopFuture<any Channel> {
        ClientBootstrap(group: loop)
            .channelOption(.maxMessagesPerRead, value: 16)
            .channelOption(.recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 65536, maximum: 262_144))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(HandOffServer(intake: intake)) }
            }
            .withConnectedSocket(descriptor)
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        results = CompletedResults(loop: context.eventLoop) { batch in bound.value.send(.completed(batch), on: channel) }
        // Not only with results: while the disk is full there are none, and the smtpd role must learn that there is room again.
        storageReports = context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: .seconds(1)) { _ in
            bound.value.reportStorage(on: channel)
        }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try reader.feed(unwrapInboundIn(data)) { (frame) throws(MalformedFrame) in try handle(frame, context) }
        } catch {
            context.close(promise: nil)
        }
    }

    package func read(context: ChannelHandlerContext) {
        if unwritten < Self.appetite { context.read() } else { readPending = true }
    }

    package func channelInactive(context: ChannelHandlerContext) {
        for message in large.values { message.abort() }
        large = [:]
        results = nil
        storageReports?.cancel()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func handle(_ frame: HandOffFrame, _ context: ChannelHandlerContext) throws(MalformedFrame) {
        guard let results else { return }
        switch frame {
        case .message(let id, let envelope, let content):
            try claim(id)
            intake.accept(id, envelope, content, receipt: IntakeReceipt(id: id, results: results))
        case .begin(let id, let envelope):
            try claim(id)
            large[id] = intake.begin(id, envelope)
        case .chunk(let id, let bytes): append(bytes, to: id, context)
        case .commit(let id): large.removeValue(forKey: id)?.commit(receipt: IntakeReceipt(id: id, results: results))
        case .abort(let id): large.removeValue(forKey: id)?.abort()
        case .requestQueueIDs: lease(on: context.channel)
        default: throw MalformedFrame()
        }
    }

    /// An id is good only on the connection it was leased to, or if an earlier queue role leased it. (That it serves once is the spool's
    /// check.)
    private func claim(_ id: QueueID) throws(MalformedFrame) {
        guard large[id] == nil, leases.contains(where: { $0.contains(id.rawValue) }) || intake.wasLeasedEarlier(id) else {
            throw MalformedFrame()
        }
    }

    private func append(_ bytes: ByteBuffer, to id: QueueID, _ context: ChannelHandlerContext) {
        guard let message = large[id] else { return }
        let count = bytes.readableBytes
        unwritten += count
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        message.append(bytes) {
            loop.execute {
                let (server, context) = bound.value
                server.unwritten -= count
                if server.readPending, server.unwritten < Self.appetite {
                    server.readPending = false
                    context.read()
                }
            }
        }
    }

    private func lease(on channel: any Channel) {
        let range = (try? intake.leaseQueueIDs(Self.leaseSize)) ?? 0..<0
        leases.append(range)
        if leases.count > 1024 { leases.removeFirst(512) }
        send(.queueIDs(first: QueueID(rawValue: range.lowerBound), count: UInt32(range.count)), on: channel)
    }

    private func reportStorage(on channel: any Channel) {
        let isShort = intake.storageIsShort
        guard isShort != storageWasShort else { return }
        storageWasShort = isShort
        send(.storage(isShort: isShort), on: channel)
    }

    private func send(_ frame: HandOffFrame, on channel: any Channel) {
        var out = channel.allocator.buffer(capacity: 256)
        frame.encode(into: &out)
        channel.writeAndFlush(out, promise: nil)
    }
}
