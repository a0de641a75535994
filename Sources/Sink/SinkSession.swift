internal import NIOCore
internal import SMTPCore
internal import TLS

/// One connection to the sink.
final class SinkSession: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Phase { case command, authentication, content, waiting, hanging, closed }

    private static let maximumLine = 16_384

    let sink: SMTPSink
    var configuration: SinkConfiguration { sink.configuration }
    var context: ChannelHandlerContext?
    var phase = Phase.command
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private var peer = "unix"

    var protocolName = "SMTP"
    /// nil before EHLO or HELO.
    var heloName: String?
    var tlsVersion: String?
    var login: String?
    /// The greeting was a refusal.
    private var isRefused = false
    var sender: SinkPath?
    var recipients: [SinkPath] = []
    var decoder = ContentDecoder()
    var content = ByteBuffer()
    private var isTooLarge = false
    var hasBodyFaultBeenChecked = false

    init(sink: SMTPSink) { self.sink = sink }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) {
        if let address = context.channel.remoteAddress, let host = address.ipAddress, let port = address.port {
            peer = "\(SinkEndpoint.inet(host: host, port: port))"
        }
        guard sink.opened(context.channel) else { return context.close(promise: nil) }
        if !configuration.isTLSWrapper || configuration.tls == nil { greet() }
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        phase = .closed
        sink.closed(context.channel)
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let facts) = event as? TLSEvent else { return }
        tlsVersion = facts.protocolVersion
        if configuration.isTLSWrapper { greet() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        if phase == .hanging || phase == .closed { return }
        if input.readableBytes == 0 { input = incoming } else { input.writeBuffer(&incoming) }
    }

    func channelReadComplete(context: ChannelHandlerContext) { proceed() }

    // MARK: The loop

    /// Serves what has arrived, then sends all replies at once.
    func proceed() {
        while serveOne() {}
        flush()
    }

    /// Returns false when more input, or an event, must come first.
    private func serveOne() -> Bool {
        switch phase {
        case .command, .authentication:
            guard let line = readLine() else { return false }
            if phase == .authentication { finishAuthentication(line) } else { serve(SinkCommandLine(line)) }
            return true
        case .content: return readContent()
        case .waiting, .closed: return false
        case .hanging:
            input.clear()
            return false
        }
    }

    private func readLine() -> String? {
        let view = input.readableBytesView
        guard let feed = view.prefix(Self.maximumLine).firstIndex(of: UInt8(ascii: "\n")) else {
            if view.count >= Self.maximumLine { send(Reply(500, EnhancedStatusCode(5, 5, 2), "Error: command too long", closes: true)) }
            return nil
        }
        let length = feed - view.startIndex
        guard let line = input.readString(length: length), input.readInteger(as: UInt8.self) != nil else { return nil }
        // A client that sends bare LF is at fault, and the sink is there to show it. (Looked at as bytes: CR LF would be one Character.)
        guard line.utf8.last == UInt8(ascii: "\r") else {
            send(Reply(500, EnhancedStatusCode(5, 5, 2), "Error: bare <LF> received", closes: true))
            return nil
        }
        return String(line.unicodeScalars.dropLast())
    }

    func discardInput() { input.clear() }

    // MARK: Replies

    func send(_ reply: Reply) {
        output.writeString(reply.wire)
        if reply.closes { close() }
    }

    func send(_ code: Int, _ status: EnhancedStatusCode? = nil, _ text: String) { send(Reply(code, status, text)) }

    func flush() {
        guard output.readableBytes > 0, let context else { return }
        context.writeAndFlush(wrapOutboundOut(output), promise: nil)
        output = ByteBuffer()
    }

    /// Sends what is pending, then closes.
    func close() {
        flush()
        phase = .closed
        context?.close(promise: nil)
    }

    /// Plays the fault of this stage, if there is one.
    func fails(at stage: SinkFault.Stage) -> Bool {
        guard let action = sink.fault(at: stage) else { return false }
        play(action)
        return true
    }

    func play(_ action: SinkFault.Action) {
        switch action {
        case .reply(let reply): send(reply)
        case .hang: phase = .hanging
        case .drop: close()
        }
    }

    private func greet() {
        if let action = sink.fault(at: .connect) {
            isRefused = true
            play(action)
        } else {
            send(220, nil, "\(configuration.hostName) \(configuration.isLMTP ? "LMTP" : "ESMTP") Postern sink")
        }
        flush()
    }

    // MARK: Commands

    private func serve(_ command: SinkCommandLine) {
        if isRefused, command.verb != "QUIT" { return send(503, EnhancedStatusCode(5, 5, 1), "Error: access was denied") }
        switch command.verb {
        case "EHLO", "HELO", "LHLO": hello(command)
        case "STARTTLS": startTLS()
        case "AUTH": authenticate(command.argument)
        case "MAIL": mail(command.argument)
        case "RCPT": recipient(command.argument)
        case "DATA": data()
        case "RSET":
            reset()
            send(250, EnhancedStatusCode(2, 0, 0), "Ok")
        case "NOOP": send(250, EnhancedStatusCode(2, 0, 0), "Ok")
        case "VRFY": send(252, EnhancedStatusCode(2, 0, 0), command.argument)
        case "QUIT": if !fails(at: .quit) { send(Reply(221, EnhancedStatusCode(2, 0, 0), "Bye", closes: true)) }
        default: send(500, EnhancedStatusCode(5, 5, 2), "Error: command not recognized")
        }
    }

    func reset() {
        sender = nil
        recipients = []
        content = ByteBuffer()
        isTooLarge = false
        hasBodyFaultBeenChecked = false
    }

    // MARK: Content

    private func readContent() -> Bool {
        guard input.readableBytes > 0 else { return false }
        if !hasBodyFaultBeenChecked {
            hasBodyFaultBeenChecked = true
            if let action = sink.fault(at: .body) {
                play(action)
                // A reply in the middle of the content can only be the last one.
                if case .reply = action { close() }
                return phase != .closed && phase != .hanging
            }
        }
        let isComplete = decoder.decode(&input, into: &content)
        if content.readableBytes > configuration.sizeLimit {
            isTooLarge = true
            content.clear(minimumCapacity: 0)
        }
        guard isComplete else { return false }
        phase = .command
        if isTooLarge {
            for _ in 0..<(configuration.isLMTP ? recipients.count : 1) {
                send(552, EnhancedStatusCode(5, 3, 4), "Error: message file too big")
            }
            reset()
        } else {
            finishContent()
        }
        return phase == .command
    }

    private func finishContent() {
        let outcome = SinkOutcome(recipients: recipients, isLMTP: configuration.isLMTP) { sink.fault(at: .dot) }
        guard let sender, !outcome.accepted.isEmpty, let context else { return answer(outcome, failed: false) }
        let message = SinkMessage(
            number: 0,
            peer: peer,
            protocolName: protocolName,
            heloName: heloName ?? "",
            tlsVersion: tlsVersion,
            login: login,
            sender: sender,
            recipients: outcome.accepted,
            content: Array(content.readableBytesView)
        )
        guard let taken = sink.take(message, on: context.eventLoop) else { return answer(outcome, failed: false) }
        phase = .waiting
        // What the client pipelines meanwhile stays in the kernel.
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        taken.assumeIsolated().whenComplete { result in
            guard self.phase == .waiting else { return }
            self.phase = .command
            try? self.context?.channel.syncOptions?.setOption(.autoRead, value: true)
            if case .failure = result { self.answer(outcome, failed: true) } else { self.answer(outcome, failed: false) }
            self.proceed()
        }
    }

    private func answer(_ outcome: SinkOutcome, failed: Bool) {
        reset()
        for reply in outcome.replies {
            send(failed && reply.isPositive ? Reply(451, EnhancedStatusCode(4, 3, 0), "Error: the message could not be stored") : reply)
        }
        if let ending = outcome.ending { play(ending) }
    }
}
