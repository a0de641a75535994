import NIOCore
import SMTPCore
import TLS

/// The end of a client connection's pipeline: turns bytes into replies and wakes the one task that waits. Confined to the channel's loop.
final class ReplyFeeder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    enum TLSState {
        case none
        case established(TLSFacts)
        case failed(reason: String, libraryErrors: [String])
    }

    private(set) var isClosed = false
    private(set) var failure: ReplyParser.Failure?
    private(set) var tls: TLSState = .none
    private var parser = ReplyParser()
    private var waiter: CheckedContinuation<Void, Never>?
    private var waitsUntil: NIODeadline = .distantFuture
    private var timer: Scheduled<Void>?
    private var timerFires: NIODeadline = .distantFuture
    private let loop: any EventLoop

    init(loop: any EventLoop) { self.loop = loop }

    func nextReply() -> ServerReply? { parser.next() }

    var hasReply: Bool { parser.hasReply }

    /// Forgets what came in the clear (RFC 3207 section 4.2: nothing learned before TLS counts).
    func discardInput() { parser = ReplyParser() }

    /// Returns when something happened: bytes, TLS, writability, the end of the connection, or the deadline. The caller looks what it was.
    func wait(until deadline: NIODeadline) async {
        waitsUntil = deadline
        armTimer()
        await withCheckedContinuation { waiter = $0 }
    }

    /// Wakes the waiter, whatever it waits for.
    func wake() {
        guard let waiter else { return }
        self.waiter = nil
        waiter.resume()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard failure == nil else { return }
        let buffer = unwrapInboundIn(data)
        do throws(ReplyParser.Failure) {
            try parser.consume(buffer.readableBytesUInt8Span)
        } catch {
            failure = error
        }
        if parser.hasReply || failure != nil { wake() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { wake() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) { end() }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // Reset by the peer, or TLS gone wrong: in either case there is nothing more to say to it.
        context.close(promise: nil)
        end()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? TLSEvent {
            switch event {
            case .handshakeCompleted(let facts): tls = .established(facts)
            case .handshakeFailed(let reason, let libraryErrors): tls = .failed(reason: reason, libraryErrors: libraryErrors)
            }
            wake()
        } else if event as? ChannelEvent == .inputClosed {
            context.close(promise: nil)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func end() {
        isClosed = true
        timer?.cancel()
        timer = nil
        wake()
    }

    /// One timer serves many waits: it is moved only to an earlier time, and looks again when it fires too early.
    private func armTimer() {
        guard !isClosed, timer == nil || waitsUntil < timerFires else { return }
        timer?.cancel()
        timerFires = waitsUntil
        let bound = NIOLoopBound(self, eventLoop: loop)
        timer = loop.scheduleTask(deadline: waitsUntil) { bound.value.timerFired() }
    }

    private func timerFired() {
        timer = nil
        guard waiter != nil else { return }
        if NIODeadline.now() >= waitsUntil { wake() } else { armTimer() }
    }
}
