package import NIOCore

/// TLS over a channel, by OpenSSL: encrypts what passes outbound, decrypts what comes in.
///
/// Add it in the child initializer before every other handler for TLS from the first byte (RFC 8314), or at the head of the pipeline of an
/// active channel after `220 2.0.0 Ready to start TLS` has been written and flushed (RFC 3207); the handshake starts at once. When it is
/// done, `TLSEvent.handshakeCompleted` arrives as a user inbound event, before any decrypted byte. When it fails, `TLSEvent.handshakeFailed`
/// does, and the channel is closed. What is written before the handshake ends is kept and sent afterwards. A timeout of the handshake is the
/// session's business: it closes the channel.
///
/// A close sends close_notify without waiting for the peer's (`tls_fast_shutdown_enable`). The peer's close_notify counts as the end of its
/// input: `ChannelEvent.inputClosed` where the channel allows half closure, else the channel is closed. An end without close_notify is no
/// error: SMTP's own framing says whether something is missing.
///
/// Must be used on its channel's loop only; the library keeps its error queue per thread.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package enum Role: Sendable, Hashable {
        case server
        case client(TLSClientTarget)
    }

    enum State {
        /// Waiting for the channel to become active.
        case idle
        case handshaking
        case active
        /// Failed or shut down: nothing is read or written any more.
        case closed
    }

    private let tls: TLSContext
    private let role: Role
    var state = State.idle
    /// Made when the first byte is there (server) or to be sent (client), so that a silent connection costs nothing.
    var connection: TLSConnection?
    var context: ChannelHandlerContext?
    var pending = PendingWrites()
    /// A flush came before the handshake was done.
    var flushRequested = false
    var flushScheduled = false
    var inputClosed = false
    var outputClosed = false
    /// Someone asked for input and has got none yet: with auto-read off, ciphertext that yields no plaintext must not end the reading.
    private var readRequested = false
    /// What the peer sent first, kept only while it does not look like TLS.
    private var beginning: [UInt8]? = []

    package init(context: TLSContext, role: Role) {
        self.tls = context
        self.role = role
    }

    // MARK: Life in the pipeline

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { start(context) }
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        state = .closed
        connection = nil
        self.context = nil
        pending.takePromise()?.fail(ChannelError.ioOnClosedChannel)
    }

    package func channelActive(context: ChannelHandlerContext) {
        if state == .idle { start(context) }
        context.fireChannelActive()
    }

    package func channelInactive(context: ChannelHandlerContext) {
        if state == .handshaking { failHandshake(context, reason: "lost connection", libraryErrors: []) }
        state = .closed
        pending.takePromise()?.fail(ChannelError.ioOnClosedChannel)
        context.fireChannelInactive()
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if state == .handshaking, let error = error as? IOError {
            failHandshake(context, reason: errnoText(error.errnoCode), libraryErrors: [])
        }
        context.fireErrorCaught(error)
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent {
            if state == .handshaking { failHandshake(context, reason: "lost connection", libraryErrors: []) }
            // After close_notify it has been said already.
            if inputClosed { return }
            inputClosed = true
        }
        context.fireUserInboundEventTriggered(event)
    }

    // MARK: Inbound

    package func read(context: ChannelHandlerContext) {
        readRequested = true
        context.read()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        switch state {
        case .idle, .handshaking:
            noteBeginning(buffer)
            guard let connection = connection ?? makeConnection(context) else { return }
            connection.buffers.received(buffer)
            continueHandshake(context, connection)
        case .active:
            guard !inputClosed, let connection else { return }
            connection.buffers.received(buffer)
            decode(context, connection)
        case .closed:
            return
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if readRequested, state != .closed { context.read() }
    }

    /// Decrypts all that is there and passes it on in one piece.
    func decode(_ context: ChannelHandlerContext, _ connection: TLSConnection) {
        // Plaintext is never larger than its records, but the library may hold the first part of one from an earlier call.
        var plaintext = context.channel.allocator.buffer(capacity: max(connection.buffers.inbound.readableBytes, 64))
        var step = connection.read(into: &plaintext)
        while case .data = step {
            let waiting = connection.pendingPlaintext
            if waiting > plaintext.writableBytes { plaintext.reserveCapacity(minimumWritableBytes: waiting) }
            step = connection.read(into: &plaintext)
        }
        // Answers of the library's own, such as a key update.
        if case .incomplete = step { sendEncrypted(context, connection, promise: nil) }
        if plaintext.readableBytes > 0 {
            readRequested = false
            context.fireChannelRead(wrapInboundOut(plaintext))
        }
        // Whoever got the bytes may have closed the channel.
        guard state == .active else { return }
        switch step {
        case .data, .incomplete: break
        case .closed: peerHasClosed(context, connection)
        case .failed(let errors): failConnection(context, libraryErrors: errors)
        }
    }

    private func peerHasClosed(_ context: ChannelHandlerContext, _ connection: TLSConnection) {
        connection.buffers.discardInbound()
        guard !inputClosed else { return }
        inputClosed = true
        if (try? context.channel.syncOptions?.getOption(.allowRemoteHalfClosure)) == true {
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        } else {
            close(context: context, mode: .all, promise: nil)
        }
    }

    // MARK: Handshake

    private func start(_ context: ChannelHandlerContext) {
        state = .handshaking
        guard case .client = role, let connection = makeConnection(context) else { return }
        continueHandshake(context, connection)
    }

    private func makeConnection(_ context: ChannelHandlerContext) -> TLSConnection? {
        let target: TLSClientTarget? = if case .client(let target) = role { target } else { nil }
        guard let made = TLSConnection(context: tls, target: target, allocator: context.channel.allocator) else {
            failHandshake(context, reason: "-1", libraryErrors: LibraryErrors.take())
            return nil
        }
        state = .handshaking
        connection = made
        return made
    }

    private func continueHandshake(_ context: ChannelHandlerContext, _ connection: TLSConnection) {
        switch connection.handshake() {
        case .incomplete:
            sendEncrypted(context, connection, promise: nil)
        case .failed(let errors):
            failHandshake(context, reason: "-1", libraryErrors: errors)
        case .complete:
            state = .active
            beginning = nil
            context.fireUserInboundEventTriggered(TLSEvent.handshakeCompleted(connection.facts))
            if state == .active, connection.buffers.inbound.readableBytes > 0 { decode(context, connection) }
            guard state == .active else { return }
            if flushRequested {
                flushRequested = false
                flush(context: context)
            } else {
                // Our last handshake message or session ticket can share a packet with the greeting or command the session is about to send.
                scheduleFlush(context)
            }
        }
    }

    private func noteBeginning(_ buffer: ByteBuffer) {
        guard let noted = beginning, let first = noted.first ?? buffer.readableBytesView.first else { return }
        // 22 is a handshake record, 0x80 the old hello of SSLv2.
        let looksLikeTLS = first == 22 || first == 0x80
        beginning = looksLikeTLS ? nil : noted + buffer.readableBytesView.prefix(max(0, TLSPlaintextReceived.limit - noted.count))
    }

    private func failHandshake(_ context: ChannelHandlerContext, reason: String, libraryErrors: [String]) {
        let fromClient = role == .server
        let plaintext = beginning.flatMap { TLSPlaintextReceived($0, fromClient: fromClient) }
        terminate(context, error: TLSError(libraryErrors: libraryErrors))
        if let plaintext { context.fireUserInboundEventTriggered(plaintext) }
        context.fireUserInboundEventTriggered(TLSEvent.handshakeFailed(reason: reason, libraryErrors: libraryErrors))
        context.close(promise: nil)
    }

    /// A failure after the handshake.
    func failConnection(_ context: ChannelHandlerContext, libraryErrors: [String]) {
        let error = TLSError(libraryErrors: libraryErrors)
        terminate(context, error: error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    /// The final state first, since everything after it may call back into this handler.
    private func terminate(_ context: ChannelHandlerContext, error: TLSError) {
        state = .closed
        // The alert that tells the peer why.
        if let connection { sendEncrypted(context, connection, promise: nil) }
        connection = nil
        pending.takePromise()?.fail(error)
    }
}
