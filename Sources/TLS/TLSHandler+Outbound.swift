package import NIOCore

extension TLSHandler {
    package func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard state != .closed else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        guard !outputClosed else {
            promise?.fail(ChannelError.outputClosed)
            return
        }
        let buffer = unwrapOutboundIn(data)
        // Small writes share a record; what no longer fits into one is encrypted as it is.
        if state == .active, pending.plaintext.readableBytes > 0, pending.plaintext.readableBytes + buffer.readableBytes > 16384,
            let connection
        {
            guard encryptPending(context, connection) else {
                promise?.fail(ChannelError.ioOnClosedChannel)
                return
            }
        }
        pending.append(buffer, promise)
    }

    package func flush(context: ChannelHandlerContext) {
        switch state {
        case .idle, .handshaking:
            flushRequested = true
        case .active:
            guard let connection, encryptPending(context, connection) else { return }
            sendEncrypted(context, connection, promise: pending.takePromise())
        case .closed:
            context.flush()
        }
    }

    package func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        switch mode {
        case .input:
            context.close(mode: .input, promise: promise)
        case .output:
            if state == .active, !outputClosed, let connection, encryptPending(context, connection) {
                connection.shutdown()
                sendEncrypted(context, connection, promise: pending.takePromise())
            }
            outputClosed = true
            context.close(mode: .output, promise: promise)
        case .all:
            // As with a bare channel, what was written but not flushed is not sent.
            if state == .active, let connection {
                state = .closed
                if !outputClosed { connection.shutdown() }
                sendEncrypted(context, connection, promise: nil)
            }
            state = .closed
            connection = nil
            let unsent = pending.takePromise()
            context.close(mode: .all, promise: promise)
            unsent?.fail(ChannelError.ioOnClosedChannel)
        }
    }

    /// false if the connection failed, and has been ended, over it.
    private func encryptPending(_ context: ChannelHandlerContext, _ connection: TLSConnection) -> Bool {
        let plaintext = pending.takePlaintext()
        switch connection.write(plaintext) {
        case .complete:
            return true
        case .incomplete:
            // Only a renegotiation could make a write wait for input, and that is switched off.
            failConnection(context, libraryErrors: ["write refused by the TLS library"])
        case .failed(let errors):
            failConnection(context, libraryErrors: errors)
        }
        return false
    }

    /// Sends what the library has written.
    func sendEncrypted(_ context: ChannelHandlerContext, _ connection: TLSConnection, promise: EventLoopPromise<Void>?) {
        let records = connection.buffers.takeOutbound()
        if records.readableBytes > 0 {
            context.writeAndFlush(wrapOutboundOut(records), promise: promise)
        } else {
            promise?.succeed()
        }
    }

    /// Sends what the library has written at the end of this turn of the loop, unless a flush does it before.
    func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !flushScheduled, let connection, connection.buffers.outbound.readableBytes > 0 else { return }
        flushScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.flushScheduled = false
            guard let context = self.context, let connection = self.connection else { return }
            self.sendEncrypted(context, connection, promise: nil)
        }
    }
}

/// Plaintext that was written but not yet flushed, and the one promise for all of it.
struct PendingWrites {
    private(set) var plaintext = ByteBuffer()
    private var promise: EventLoopPromise<Void>?

    mutating func append(_ buffer: ByteBuffer, _ next: EventLoopPromise<Void>?) {
        if plaintext.readableBytes == 0 {
            plaintext = buffer
        } else {
            plaintext.writeImmutableBuffer(buffer)
        }
        guard let next else { return }
        if let promise {
            promise.futureResult.cascade(to: next)
        } else {
            promise = next
        }
    }

    mutating func takePlaintext() -> ByteBuffer {
        let taken = plaintext
        plaintext = ByteBuffer()
        return taken
    }

    mutating func takePromise() -> EventLoopPromise<Void>? {
        let taken = promise
        promise = nil
        return taken
    }
}
