internal import NIOCore
internal import NIOPosix
internal import SMTPCore

/// One question on its way: asks the servers by plan until one of them answers. Lives on one event loop and ends by itself.
final class DNSExchange: DNSSocketOwner {
    /// `.final`, `.alias` or `.unusable`, and the index of the server it comes from.
    typealias Completion = (DNSVerdict, _ server: Int?) -> Void

    /// The state of one server in this exchange.
    private struct Conversation {
        var query: DNSQuery
        var datagrams: (any Channel)?
        var stream: (any Channel)?
        var startedDatagrams = false
        var startedStream = false
        var hasFailed = false
        /// Datagrams that did not belong to the query: somebody is guessing.
        var strays = 0
    }

    /// After so many wrong guesses the question moves to TCP, where guessing is hopeless.
    private static let maximumStrays = 50

    private let loop: any EventLoop
    private let configuration: ResolverConfiguration
    private let question: DNSQuestion
    private var steps: ArraySlice<AttemptPlan.Step>
    private var conversations: [Conversation]
    private var current = 0
    private var timer: Scheduled<Void>?
    private var isWaitingForLast = false
    private var trouble: String?
    private var completion: Completion?

    /// - Parameter first: index of the server to begin with.
    init(_ question: DNSQuestion, configuration: ResolverConfiguration, first: Int, loop: any EventLoop, completion: @escaping Completion) {
        self.loop = loop
        self.configuration = configuration
        self.question = question
        self.completion = completion
        let servers = configuration.servers.count
        steps = AttemptPlan(servers: servers, first: first, attempts: configuration.attempts, timeout: configuration.timeout).steps[...]
        conversations = (0..<servers).map { _ in Conversation(query: DNSQuery(id: .random(in: 0...UInt16.max), question: question)) }
    }

    /// Call once, on the loop.
    func start() { proceed(timedOut: false) }

    private func proceed(timedOut: Bool) {
        timer?.cancel()
        timer = nil
        while let step = steps.popFirst() {
            if conversations[step.server].hasFailed { continue }
            current = step.server
            // Spread, so that packets lost in one burst are not sent again in one burst.
            setTimer(milliseconds: step.wait + Int.random(in: 0...step.wait / 4))
            ask(step.server)
            return
        }
        // The last server refused at once, but one asked earlier may only be slow.
        if !timedOut, !isWaitingForLast, let other = conversations.firstIndex(where: { !$0.hasFailed }) {
            isWaitingForLast = true
            current = other
            setTimer(milliseconds: configuration.timeout * 1_000)
            return
        }
        finish(.unusable(trouble ?? "no answer from \(configuration.servers.map(\.description).joined(separator: ", "))"), server: nil)
    }

    private func setTimer(milliseconds: Int) {
        timer = loop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) { self.proceed(timedOut: true) }
    }

    private func ask(_ server: Int) {
        if configuration.usesTCPOnly { return openStream(server) }
        // An answer over TCP is already on its way.
        guard !conversations[server].startedStream else { return }
        if let channel = conversations[server].datagrams {
            channel.writeAndFlush(ByteBuffer(bytes: conversations[server].query.bytes), promise: nil)
        } else if !conversations[server].startedDatagrams {
            openDatagrams(server)
        }
    }

    /// Never by name: the bootstraps would block in the C library's resolver.
    private func socketAddress(of server: Int) -> SocketAddress? {
        let server = configuration.servers[server]
        return try? SocketAddress(ipAddress: server.address.description, port: server.port)
    }

    private func openDatagrams(_ server: Int) {
        conversations[server].startedDatagrams = true
        guard let address = socketAddress(of: server) else { return fail(server, "unusable address") }
        let bound = NIOLoopBound(self, eventLoop: loop)
        DatagramBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DNSDatagramHandler(owner: bound.value, server: server))
                }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    guard self.completion != nil, !self.conversations[server].hasFailed else { return channel.close(promise: nil) }
                    self.conversations[server].datagrams = channel
                    channel.writeAndFlush(ByteBuffer(bytes: self.conversations[server].query.bytes), promise: nil)
                case .failure(let error): self.broke(describe(error), server: server, overTCP: false)
                }
            }
    }

    private func openStream(_ server: Int) {
        guard !conversations[server].startedStream else { return }
        conversations[server].startedStream = true
        guard let address = socketAddress(of: server) else { return fail(server, "unusable address") }
        let bound = NIOLoopBound(self, eventLoop: loop)
        ClientBootstrap(group: loop)
            .connectTimeout(.seconds(Int64(configuration.timeout)))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DNSStreamHandler(owner: bound.value, server: server))
                }
            }
            .connect(to: address)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    guard self.completion != nil, !self.conversations[server].hasFailed else { return channel.close(promise: nil) }
                    self.conversations[server].stream = channel
                    self.sendOverStream(server)
                case .failure(let error): self.broke(describe(error), server: server, overTCP: true)
                }
            }
    }

    private func sendOverStream(_ server: Int) {
        let bytes = conversations[server].query.bytes
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt16(bytes.count))
        buffer.writeBytes(bytes)
        conversations[server].stream?.writeAndFlush(buffer, promise: nil)
    }

    func received(_ bytes: [UInt8], server: Int, overTCP: Bool) {
        guard completion != nil, !conversations[server].hasFailed else { return }
        let query = conversations[server].query
        let message: DNSMessage
        do {
            message = try DNSMessage(bytes)
        } catch {
            let carriesOurID = bytes.count >= 12 && UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == query.id
            return carriesOurID ? fail(server, "malformed reply (\(error.reason))") : stray(server, overTCP: overTCP)
        }
        guard query.isAnswered(by: message) else { return stray(server, overTCP: overTCP) }
        if message.isTruncated, !overTCP { return openStream(server) }
        switch message.verdict(for: question) {
        case .withoutEDNS:
            guard query.usesEDNS else { return fail(server, "\(message.responseCode)") }
            conversations[server].query.usesEDNS = false
            overTCP ? sendOverStream(server) : ask(server)
        case .unusable(let reason): fail(server, reason)
        case let verdict: finish(verdict, server: server)
        }
    }

    private func stray(_ server: Int, overTCP: Bool) {
        if overTCP { return fail(server, "reply to a question that was not asked") }
        conversations[server].strays += 1
        if conversations[server].strays == Self.maximumStrays { openStream(server) }
    }

    func broke(_ reason: String, server: Int, overTCP: Bool) {
        // Once the question has moved to TCP, what happens on the UDP socket no longer matters.
        guard completion != nil, overTCP || !conversations[server].startedStream else { return }
        fail(server, reason)
    }

    private func fail(_ server: Int, _ reason: String) {
        guard completion != nil, !conversations[server].hasFailed else { return }
        conversations[server].hasFailed = true
        trouble = "\(reason) from \(configuration.servers[server])"
        close(server)
        if current == server { proceed(timedOut: false) }
    }

    private func close(_ server: Int) {
        conversations[server].datagrams?.close(promise: nil)
        conversations[server].stream?.close(promise: nil)
        conversations[server].datagrams = nil
        conversations[server].stream = nil
    }

    private func finish(_ verdict: DNSVerdict, server: Int?) {
        guard let completion else { return }
        self.completion = nil
        timer?.cancel()
        timer = nil
        for index in conversations.indices { close(index) }
        completion(verdict, server)
    }
}
