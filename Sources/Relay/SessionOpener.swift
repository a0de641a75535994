import Authentication
import MailLog
import NIOCore
import NIOPosix
import Notices
import SMTPCore
import TLS

/// Brings a connection to the point where it takes messages: connect, greeting, EHLO, STARTTLS, AUTH.
struct SessionOpener {
    let endpoint: Endpoint
    let settings: ClientSettings
    let credentials: SASLClient.Credentials?
    /// Off for the second try after an opportunistic handshake has failed.
    let usesTLS: Bool
    let loop: any EventLoop
    let log: MailLog
    let notices: NextHopNotices

    /// Why there is no session.
    enum Failure: Error {
        /// No connection at all; logged by Postfix without a queue id.
        case connect(DeliveryFailure)
        case handshake(DeliveryFailure)
        /// The TLS handshake failed: a next try in the clear may be allowed.
        case tls(DeliveryFailure)

        var reason: DeliveryFailure {
            switch self {
            case .connect(let reason), .handshake(let reason), .tls(let reason): reason
            }
        }
    }

    func open() async throws(Failure) -> ClientSession {
        let opened = NIODeadline.now()
        let connection = try await connect()
        do throws(Failure) {
            if settings.tls.isWrapped { try await finishTLS(connection) }
            let greeting = try await greet(connection)
            let saysESMTP = greeting.text.uppercased().contains("ESMTP")
            var capabilities = try await hello(connection, extended: saysESMTP || settings.alwaysSendEHLO)
            if !settings.tls.isWrapped { capabilities = try await secure(connection, capabilities) }
            let login = try await authenticate(connection, capabilities)
            return ClientSession(
                connection: connection,
                endpoint: endpoint,
                settings: settings,
                capabilities: capabilities,
                credentials: login,
                opened: opened,
                notices: notices
            )
        } catch {
            connection.quit()
            if let transcript = connection.transcript { notices.sessionEnded(transcript, with: endpoint, settings, on: loop) }
            throw error
        }
    }

    // MARK: - Connection

    private func connect() async throws(Failure) -> ClientConnection {
        guard let address = endpoint.socketAddress else { throw .connect(connectFailure("File name too long")) }
        let handlers = HandlerFactory(tls: settings.tls.isWrapped ? settings.tls : nil, host: endpoint.host)
        var bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(settings.timeouts.connect)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.writeBufferWaterMark, value: ChannelOptions.Types.WriteBufferWaterMark(low: 65536, high: 262144))
            .channelInitializer { channel in channel.eventLoop.makeCompletedFuture { try handlers.install(on: channel) } }
        if let source = sourceAddress { bootstrap = bootstrap.bind(to: source) }
        do {
            let channel = try await bootstrap.connect(to: address).get()
            let feeder = try channel.pipeline.syncOperations.handler(type: ReplyFeeder.self)
            let connection = ClientConnection(channel: channel, feeder: feeder)
            if settings.notices.recordsFromStart { connection.transcript = SessionTranscript() }
            return connection
        } catch {
            throw .connect(connectFailure(ConnectError.text(error)))
        }
    }

    private var sourceAddress: SocketAddress? {
        guard case .inet(let address, _) = endpoint.address else { return nil }
        let source = address.bitWidth == 32 ? settings.bindAddress : settings.bindAddress6
        return source.flatMap { try? SocketAddress(ipAddress: $0.description, port: 0) }
    }

    private func connectFailure(_ reason: String) -> DeliveryFailure {
        DeliveryFailure(EnhancedStatusCode(4, 4, 1), "connect to \(endpoint.labelWithPort): \(reason)")
    }

    // MARK: - Greeting and EHLO

    private func greet(_ connection: ClientConnection) async throws(Failure) -> ServerReply {
        let reply = try await self.reply(connection, .greeting, settings.timeouts.helo)
        guard reply.isPositive else {
            let refused = refusal(reply)
            throw .handshake(settings.skips5xxGreeting ? refused.softened : refused)
        }
        return reply
    }

    private func hello(_ connection: ClientConnection, extended: Bool = true) async throws(Failure) -> ServerCapabilities {
        let phase = settings.dialect == .lmtp ? Phase.lhlo : .helo
        if extended && !settings.neverSendEHLO || settings.dialect == .lmtp {
            connection.send("\(settings.dialect == .lmtp ? "LHLO" : "EHLO") \(settings.heloName)\r\n")
            let reply = try await self.reply(connection, phase, settings.timeouts.helo)
            if reply.isPositive { return try checked(ServerCapabilities(reply, discarding: settings.discardedKeywords)) }
            if settings.dialect == .lmtp || reply.code == 421 { throw .handshake(refusal(reply)) }
        }
        connection.send("HELO \(settings.heloName)\r\n")
        let reply = try await self.reply(connection, phase, settings.timeouts.helo)
        guard reply.isPositive else {
            if reply.isOfSyntax { connection.note(.protocol, settings.notices) }
            throw .handshake(refusal(reply))
        }
        var capabilities = ServerCapabilities()
        capabilities.serverName = String(reply.lines.first?.prefix { $0 != " " } ?? "")
        return try checked(capabilities)
    }

    private func checked(_ capabilities: ServerCapabilities) throws(Failure) -> ServerCapabilities {
        guard endpoint.checksForLoop, settings.dialect == .smtp,
            capabilities.serverName.lowercased() == settings.myHostname.lowercased()
        else { return capabilities }
        log.warning("host \(endpoint.labelWithPort) replied to HELO/EHLO with my own hostname \(settings.myHostname)")
        throw .handshake(
            DeliveryFailure(EnhancedStatusCode(5, 4, 6), "mail for \(endpoint.host) loops back to myself", remoteMTA: endpoint.host)
        )
    }

    private func refusal(_ reply: ServerReply) -> DeliveryFailure {
        let text = reply.logText
        return DeliveryFailure(
            reply.code >= 400 ? reply.effectiveStatus : EnhancedStatusCode(4, 5, 0),
            "host \(endpoint.label) refused to talk to me: \(text)",
            remoteMTA: endpoint.host,
            diagnostic: text
        )
    }

    private func reply(_ connection: ClientConnection, _ phase: Phase, _ timeout: TimeAmount) async throws(Failure) -> ServerReply {
        do throws(ConversationFailure) {
            return try await connection.reply(within: timeout)
        } catch {
            connection.note(error, settings.notices)
            throw .handshake(ClientSession.describe(error, during: phase, with: endpoint))
        }
    }

    // MARK: - TLS

    /// STARTTLS (RFC 3207) as the level wants it; what the server says after it counts.
    private func secure(_ connection: ClientConnection, _ capabilities: ServerCapabilities) async throws(Failure) -> ServerCapabilities {
        let level = settings.tls.level
        guard capabilities.startTLS else {
            if level == .encrypt { throw .handshake(tlsRequired("TLS is required, but was not offered by host \(endpoint.label)")) }
            return capabilities
        }
        guard level != .none, usesTLS || level == .encrypt, settings.tls.context != nil else {
            if settings.tls.notesOffers { log.info("Host offered STARTTLS: [\(endpoint.host)]") }
            return capabilities
        }
        connection.send("STARTTLS\r\n")
        let reply = try await self.reply(connection, .startTLS, settings.timeouts.startTLS)
        guard reply.isPositive else {
            if level == .may, reply.code != 421 { return capabilities }
            throw .handshake(
                DeliveryFailure(
                    // 5xx is no reason to give up: the mail may go once the server is mended.
                    (400..<500).contains(reply.code) ? reply.effectiveStatus : EnhancedStatusCode(4, 7, 4),
                    "TLS is required, but host \(endpoint.label) refused to start TLS: \(reply.logText)",
                    remoteMTA: endpoint.host,
                    diagnostic: reply.logText
                )
            )
        }
        connection.feeder.discardInput()
        do {
            let handlers = HandlerFactory(tls: settings.tls, host: endpoint.host)
            try handlers.installTLS(on: connection.channel)
        } catch {
            throw .tls(tlsFailure)
        }
        try await finishTLS(connection)
        return try await hello(connection)
    }

    private func finishTLS(_ connection: ClientConnection) async throws(Failure) {
        let deadline = NIODeadline.now() + settings.timeouts.startTLS
        while true {
            switch connection.feeder.tls {
            case .established(let facts):
                if settings.tls.logLevel >= 1 { log.info(TLSLog.established(facts, with: endpoint)) }
                return
            case .failed(let reason, let libraryErrors):
                log.info("SSL_connect error to \(endpoint.labelWithPort): \(reason)")
                for line in libraryErrors { log.warning("TLS library problem: \(line)") }
                throw .tls(tlsFailure)
            case .none: break
            }
            do throws(ConversationFailure) { try connection.check(deadline) } catch {
                let reason = error == .timedOut ? "Connection timed out" : "lost connection"
                log.info("SSL_connect error to \(endpoint.labelWithPort): \(reason)")
                throw .tls(tlsFailure)
            }
            await connection.feeder.wait(until: deadline)
        }
    }

    private var tlsFailure: DeliveryFailure {
        DeliveryFailure(EnhancedStatusCode(4, 7, 5), "Cannot start TLS: handshake failure", remoteMTA: endpoint.host)
    }

    private func tlsRequired(_ text: String) -> DeliveryFailure {
        DeliveryFailure(EnhancedStatusCode(4, 7, 4), text, remoteMTA: endpoint.host)
    }

    // MARK: - AUTH

    /// Returns the login in force. A server that offers no AUTH gets the mail without, as with Postfix: it refuses what it must.
    private func authenticate(_ connection: ClientConnection, _ capabilities: ServerCapabilities) async throws(Failure) -> SASLClient
        .Credentials?
    {
        guard let sasl = settings.sasl, let credentials, !capabilities.authMechanisms.isEmpty else { return nil }
        let offered = capabilities.authMechanisms.filter(sasl.mechanismFilter.accepts)
        guard !offered.isEmpty else {
            let names = capabilities.authMechanisms.joined(separator: " ")
            log.warning("\(endpoint.labelWithPort) offered no supported AUTH mechanisms: '\(names)'")
            throw .handshake(noCompatibleMechanism)
        }
        var isEncrypted = false
        if case .established = connection.feeder.tls { isEncrypted = true }
        let client: SASLClient
        let first: (mechanism: String, initialResponse: String?)
        do throws(SASLClient.Failure) {
            client = try SASLClient(
                service: settings.dialect.rawValue,
                host: endpoint.host,
                credentials: credentials,
                securityOptions: isEncrypted ? sasl.tlsSecurityOptions : sasl.securityOptions,
                sendAuthorizationID: sasl.sendsAuthorizationID
            )
            first = try client.start(offered: offered)
        } catch { throw .handshake(cannotAuthenticate(error)) }
        // An empty initial response is sent as "=" (RFC 4954 section 4).
        connection.send("AUTH \(first.mechanism)\(first.initialResponse.map { $0.isEmpty ? " =" : " \($0)" } ?? "")\r\n")
        for _ in 0..<Self.maximumAuthenticationSteps {
            let reply = try await self.reply(connection, .authentication, settings.timeouts.helo)
            if (200..<300).contains(reply.code) { return credentials }
            guard reply.code == 334 else { throw .handshake(authenticationRejected(reply, sasl)) }
            do throws(SASLClient.Failure) {
                connection.send(secret: "\(try client.step(challenge: String(reply.lines.first ?? "")))\r\n")
            } catch {
                connection.send("*\r\n")
                throw .handshake(cannotAuthenticate(error))
            }
        }
        throw .handshake(cannotAuthenticate(SASLClient.Failure("too many challenges")))
    }

    private static let maximumAuthenticationSteps = 20

    private func cannotAuthenticate(_ failure: SASLClient.Failure) -> DeliveryFailure {
        DeliveryFailure(
            EnhancedStatusCode(4, 7, 0),
            "SASL authentication failed; cannot authenticate to server \(endpoint.label): \(failure.reason)",
            remoteMTA: endpoint.host
        )
    }

    private var noCompatibleMechanism: DeliveryFailure {
        DeliveryFailure(
            EnhancedStatusCode(4, 7, 0),
            "SASL authentication failed: server \(endpoint.label) offered no compatible authentication mechanisms "
                + "for this type of connection security",
            remoteMTA: endpoint.host
        )
    }

    private func authenticationRejected(_ reply: ServerReply, _ sasl: ClientSASLSettings) -> DeliveryFailure {
        let text = reply.logText
        let failure = DeliveryFailure(
            reply.code >= 400 ? reply.effectiveStatus : EnhancedStatusCode(4, 7, 0),
            "SASL authentication failed; server \(endpoint.label) said: \(text)",
            remoteMTA: endpoint.host,
            diagnostic: text
        )
        return sasl.softBounce ? failure.softened : failure
    }
}
