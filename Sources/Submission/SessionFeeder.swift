import NIOCore
import TLS

/// The channel's side of a session: collects what arrives and wakes the session's task. It understands nothing of SMTP.
///
/// Lives on its channel's loop, as the session does. It stops reading from the network while ``inputLimit`` bytes wait to be used, so a
/// client that sends faster than it is served fills its own socket, not our memory.
final class SessionFeeder: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes received and not used yet; the session takes them away from the front.
    var input = ByteBuffer()
    /// No more bytes will come: end of file, reset, or the channel has been closed.
    private(set) var hasEnded = false
    /// The outcome of a handshake, until the session takes it.
    var tlsEvent: TLSEvent?
    /// What came where a TLS handshake was due.
    private(set) var plaintextInsteadOfTLS: String?
    /// The process wants to stop; the session looks at it between commands.
    private(set) var isShutdownRequested = false
    private(set) var isWritable = true
    /// The channel is connected; writes before that would be lost.
    private(set) var isActive = false

    private var context: ChannelHandlerContext?
    private var waiter: CheckedContinuation<Void, Never>?
    private var deadline = NIODeadline.distantFuture
    private var timer: Scheduled<Void>?
    private var timerDeadline = NIODeadline.distantFuture
    private var isReadHeldBack = false

    /// A large message needs room for several socket reads; a command needs one.
    private static let inputLimit = 128 * 1024
    private static let discardLimit = 16 * 1024

    // MARK: The session's side

    /// Suspends until something has changed (bytes, end, TLS, writability, shutdown) or `deadline` has passed. May return early.
    func wait(until deadline: NIODeadline) async {
        self.deadline = deadline
        if input.readableBytes == 0 { input = ByteBuffer() }
        armTimer()
        resumeReading()
        await withCheckedContinuation { waiter = $0 }
    }

    func write(_ bytes: ByteBuffer) {
        context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Puts TLS under the session. What has been received so far was plaintext and may have been injected: it is discarded, never
    /// interpreted. Nothing may be awaited between the 220 and this call, or bytes of the handshake could slip past the handler.
    ///
    /// - Parameter keepsInput: TLS was due from the beginning (wrapper mode behind a proxy): what has come belongs to the handshake.
    func startTLS(_ handler: TLSHandler, keepsInput: Bool = false) {
        let early = input
        input = ByteBuffer()
        tlsEvent = nil
        guard let context else { return }
        do { try context.pipeline.syncOperations.addHandler(handler, position: .first) } catch { end() }
        guard keepsInput, early.readableBytes > 0 else { return }
        context.pipeline.syncOperations.fireChannelRead(NIOAny(early))
        context.pipeline.syncOperations.fireChannelReadComplete()
    }

    /// Writes nothing more but lets the peer read what it has been sent.
    func closeOutput() { context?.close(mode: .output, promise: nil) }

    /// Closes once all that was written has left, or `limit` has passed.
    func closeWhenFlushed(within limit: TimeAmount) {
        timer?.cancel()
        timer = nil
        guard let context, context.channel.isActive else { return }
        let channel = context.channel
        let bound = context.eventLoop.scheduleTask(in: limit) { channel.close(promise: nil) }
        let flushed = context.eventLoop.makePromise(of: Void.self)
        flushed.futureResult.whenComplete { _ in
            bound.cancel()
            channel.close(promise: nil)
        }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: flushed)
    }

    /// Asks the session to end at the next border between commands.
    func requestShutdown() {
        isShutdownRequested = true
        wake()
    }

    // MARK: The channel's side

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        isActive = context.channel.isActive
    }

    func channelActive(context: ChannelHandlerContext) {
        isActive = true
        wake()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        end()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if input.readableBytes == 0 {
            input = bytes
        } else {
            // Writing never reuses what has been read: a client that always leaves half a line would make the buffer grow for ever.
            if input.readerIndex >= Self.discardLimit { input.discardReadBytes() }
            input.writeBuffer(&bytes)
        }
        wake()
    }

    func read(context: ChannelHandlerContext) {
        if input.readableBytes < Self.inputLimit {
            context.read()
        } else {
            isReadHeldBack = true
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case let event as TLSEvent:
            tlsEvent = event
            wake()
        case let event as TLSPlaintextReceived: plaintextInsteadOfTLS = event.beginning
        case ChannelEvent.inputClosed: end()
        default: context.fireUserInboundEventTriggered(event)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        wake()
    }

    func channelInactive(context: ChannelHandlerContext) { end() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset and the like: the session sees the end of its input, which is all it can do anything about.
        context.close(promise: nil)
        end()
    }

    private func end() {
        hasEnded = true
        wake()
    }

    private func wake() {
        guard let waiter else { return }
        self.waiter = nil
        waiter.resume()
    }

    private func resumeReading() {
        guard isReadHeldBack, input.readableBytes < Self.inputLimit else { return }
        isReadHeldBack = false
        context?.read()
    }

    /// One timer that runs late rather than one per command: it looks at `deadline` when it fires and goes to sleep again if that has moved.
    private func armTimer() {
        if timer != nil, timerDeadline <= deadline { return }
        timer?.cancel()
        timerDeadline = deadline
        timer = context?.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) { self.timerFired() }
    }

    private func timerFired() {
        timer = nil
        guard waiter != nil else { return }
        if NIODeadline.now() < deadline { armTimer() } else { wake() }
    }
}
