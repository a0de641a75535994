package import NIOCore
import NIOPosix
package import SMTPCore
import Synchronization

/// What the queue role does with messages that arrive: the spool, behind a protocol so that this room knows no files.
/// Called on event loops; must not block.
package protocol MessageIntake: AnyObject, Sendable {
    /// A durable lease of fresh ids. `completion` is called once, here or later on any thread, with nil if there are none to be had now.
    func leaseQueueIDs(_ count: UInt32, completion: @escaping @Sendable (Range<UInt64>?) -> Void)
    /// Uses up an id that an earlier queue role has leased, durably, for a message whose session began before a restart; false if it is not
    /// such an id, or was used before.
    func claimEarlier(_ id: QueueID) -> Bool
    func accept(_ id: QueueID, _ envelope: Envelope, _ content: ByteBuffer, receipt: IntakeReceipt)
    func begin(_ id: QueueID, _ envelope: Envelope) -> any LargeMessageIntake
    var storageIsShort: Bool { get }
    /// Deferred mail for the domain is to be tried now; must take note only.
    func flush(domain: String)
}

/// A large message arriving in chunks.
package protocol LargeMessageIntake: AnyObject {
    /// `taken` is called, on any thread, when the bytes no longer take memory; with an error text when the message can no longer be stored.
    func append(_ bytes: ByteBuffer, taken: @escaping @Sendable () -> Void)
    func amend(_ envelope: Envelope)
    func commit(receipt: IntakeReceipt)
    func abort()
}

/// Tells one connection the result of one commit; callable from any thread, once.
package struct IntakeReceipt: Sendable {
    let id: QueueID
    /// Bytes that the message takes in memory until then.
    let size: Int
    let results: CompletedResults

    package func completed(_ result: HandOffResult) { results.append(id, result, size) }
}

/// Results on their way back to a loop: the writer's thread appends, the loop is woken once for a batch.
package final class CompletedResults: Sendable {
    struct Batch: Sendable {
        var results: [(id: QueueID, result: HandOffResult)] = []
        /// Bytes of memory that these messages took.
        var size = 0
    }

    private let pending = Mutex(Batch())
    private let loop: any EventLoop
    private let deliver: @Sendable (Batch) -> Void

    init(loop: any EventLoop, deliver: @escaping @Sendable (Batch) -> Void) {
        self.loop = loop
        self.deliver = deliver
    }

    func append(_ id: QueueID, _ result: HandOffResult, _ size: Int) {
        let wasEmpty = pending.withLock { pending in
            pending.results.append((id, result))
            pending.size += size
            return pending.results.count == 1
        }
        if wasEmpty { loop.execute { self.deliver(self.take()) } }
    }

    private func take() -> Batch {
        pending.withLock { pending in
            let all = pending
            pending.results.removeAll(keepingCapacity: true)
            pending.size = 0
            return all
        }
    }
}

/// The queue role's end of one connection.
package final class HandOffServer: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// Bytes of one connection that may wait for the disk before reading stops.
    private static let appetite = 4 << 20
    private static let leaseSize: UInt32 = 2048

    private let intake: any MessageIntake
    private var reader = FrameReader()
    private var leases = LeasedIDs()
    private var isLeasing = false
    private var large: [QueueID: (message: any LargeMessageIntake, envelopeLength: Int)] = [:]
    /// Of all in ``large``.
    private var envelopesLength = 0
    /// Messages that were begun when there were too many; as many as an honest peer could have begun are remembered.
    private var refused: Set<QueueID> = []
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
        let here = NIOLoopBound(context, eventLoop: context.eventLoop)
        results = CompletedResults(loop: context.eventLoop) { batch in
            bound.value.send(.completed(batch.results), on: channel)
            bound.value.written(batch.size, here.value)
        }
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
        for (message, _) in large.values { message.abort() }
        large = [:]
        results = nil
        storageReports?.cancel()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func handle(_ frame: HandOffFrame, _ context: ChannelHandlerContext) throws(MalformedFrame) {
        guard let results else { return }
        switch frame {
        case .message(let id, let envelope, let content):
            let receipt = IntakeReceipt(id: id, size: content.readableBytes + envelope.encodedLength, results: results)
            unwritten += receipt.size
            guard try claim(id), envelope.staysOnItsLine else { return receipt.completed(.writeError) }
            intake.accept(id, envelope, content, receipt: receipt)
        case .begin(let id, let envelope):
            // Without it, the commit is refused.
            if try claim(id), envelope.staysOnItsLine { begin(id, envelope) }
        case .chunk(let id, let bytes): append(bytes, to: id, context)
        case .amend(let id, let envelope):
            amend(id, envelope)
        case .commit(let id): commit(id, results)
        case .abort(let id):
            refused.remove(id)
            abort(id)
        case .requestQueueIDs: try lease(on: context.channel)
        case .flush(let domain): intake.flush(domain: domain)
        default: throw MalformedFrame()
        }
    }

    private func begin(_ id: QueueID, _ envelope: Envelope) {
        let length = envelope.encodedLength
        guard large.count < HandOffFrame.openMessageLimit, large.isEmpty || envelopesLength + length <= HandOffFrame.openEnvelopesLimit
        else {
            if refused.count < HandOffFrame.openMessageLimit { refused.insert(id) }
            return
        }
        large[id] = (intake.begin(id, envelope), length)
        envelopesLength += length
    }

    private func amend(_ id: QueueID, _ envelope: Envelope) {
        guard let (message, old) = large[id] else { return }
        let length = envelope.encodedLength
        guard envelope.staysOnItsLine, large.count == 1 || envelopesLength - old + length <= HandOffFrame.openEnvelopesLimit else {
            return abort(id)
        }
        envelopesLength += length - old
        large[id] = (message, length)
        message.amend(envelope)
    }

    private func abort(_ id: QueueID) {
        guard let (message, length) = large.removeValue(forKey: id) else { return }
        envelopesLength -= length
        message.abort()
    }

    private func commit(_ id: QueueID, _ results: CompletedResults) {
        guard let (message, length) = large.removeValue(forKey: id) else {
            let result: HandOffResult = refused.remove(id) == nil ? .writeError : .insufficientStorage
            return IntakeReceipt(id: id, size: 0, results: results).completed(result)
        }
        envelopesLength -= length
        unwritten += length
        message.commit(receipt: IntakeReceipt(id: id, size: length, results: results))
    }

    /// An id is good for one message, and only on the connection it was leased to, or if an earlier queue role leased it. False where that
    /// cannot be told any more.
    private func claim(_ id: QueueID) throws(MalformedFrame) -> Bool {
        switch leases.claim(id) {
        case .granted: return true
        case .forgotten: return false
        case .refused:
            guard intake.claimEarlier(id) else { throw MalformedFrame() }
            return true
        }
    }

    private func append(_ bytes: ByteBuffer, to id: QueueID, _ context: ChannelHandlerContext) {
        guard let message = large[id]?.message else { return }
        let count = bytes.readableBytes
        unwritten += count
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let loop = context.eventLoop
        message.append(bytes) {
            loop.execute {
                let (server, context) = bound.value
                server.written(count, context)
            }
        }
    }

    /// Memory has been given back: perhaps more may be read.
    private func written(_ count: Int, _ context: ChannelHandlerContext) {
        unwritten -= count
        // Without results the connection has ended.
        guard readPending, results != nil, unwritten < Self.appetite else { return }
        readPending = false
        context.read()
    }

    /// The answer may take as long as the disk does. (The other side bounds its wait, and asks no second time meanwhile.)
    private func lease(on channel: any Channel) throws(MalformedFrame) {
        guard !isLeasing else { throw MalformedFrame() }
        isLeasing = true
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        intake.leaseQueueIDs(Self.leaseSize) { range in
            channel.eventLoop.execute { bound.value.leased(range ?? 0..<0, on: channel) }
        }
    }

    private func leased(_ range: Range<UInt64>, on channel: any Channel) {
        isLeasing = false
        leases.add(range)
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
