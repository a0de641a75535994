import Authentication
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOEmbedded
import PosternTesting
import Restrictions
import Routing
import SMTPCore
import Settings
import Submission
import Synchronization
import Tables

/// One connection to the real session, on an event loop that is stepped by hand: no thread, no socket, no clock.
final class SessionHarness {
    let queue = RecordingQueue()
    private let server: Server
    private let loop = EmbeddedEventLoop()
    private let channel: EmbeddedChannel
    /// All the server has said so far.
    private(set) var output: [UInt8] = []
    private let closing = CloseWatcher()
    /// The server has closed its side: no further reply is to be expected.
    var isClosed: Bool { closing.isClosed || !channel.isActive }
    var log: RecordingLog { server.log }

    init(_ values: [String: String]) throws {
        server = try Server.taken(values)
        server.log.clear()
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandler(closing)
        try startSession(on: channel, service: server.service, executor: LoopExecutor(loop), handOff: RecordingHandOff(queue))
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 2525), promise: nil)
        settle()
    }

    /// Runs the session until it waits again, and collects what it said.
    private func settle() {
        loop.run()
        while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { output += buffer.readableBytesView }
    }

    func send(_ bytes: some Collection<UInt8>) {
        guard channel.isActive else { return }
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
        settle()
    }

    /// The client goes away; afterwards no session may be left.
    func hangUp() throws {
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        settle()
        try? channel.close().wait()
        // The session's last steps and the bound on its closing.
        loop.advanceTime(by: .seconds(60))
        settle()
        try require(server.registry.count == 0, "the session goes on after its client has gone")
        _ = try? channel.finish(acceptAlreadyClosed: true)
        Server.giveBack(server)
    }
}

/// A service with what it writes to. Making one reads all its parameters, so each serves one connection after the other.
private final class Server: Sendable {
    let values: [String: String]
    let service: SubmissionService
    let registry = SessionRegistry(firstNumber: 1)
    let log = RecordingLog()

    private static let idle = Mutex<[Server]>([])

    static func taken(_ values: [String: String]) throws -> Server {
        let found = idle.withLock { idle in idle.firstIndex { $0.values == values }.map { idle.remove(at: $0) } }
        return try found ?? Server(values)
    }

    static func giveBack(_ server: Server) { idle.withLock { $0.append(server) } }

    private init(_ values: [String: String]) throws {
        self.values = values
        var main = [
            "myhostname": "mx.test.example", "smtpd_peername_lookup": "no", "local_recipient_maps": "", "alias_maps": "",
            "local_transport": "lmtp:unix:lmtp", "smtpd_error_sleep_time": "0", "smtpd_client_connection_count_limit": "0",
            "smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no",
        ]
        main.merge(values) { $1 }
        let settings = ServiceSettings.testing(main, serviceName: "smtp")
        let tables = TableRegistry()
        let loopback: IPAddress = .v4(0x7F00_0001)
        let names = ScriptedNameService()
        let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [loopback])
        service = SubmissionService(
            policy: try SessionPolicy(settings, tables: tables, ownAddresses: OwnAddresses([loopback])),
            tls: nil,
            authenticator: ScriptedLogin(),
            rules: try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: names),
            router: router,
            names: names,
            logSink: log,
            registry: registry,
            limits: ClientLimits()
        )
    }
}

/// Sees the server close its side, which an embedded channel does not tell otherwise.
private final class CloseWatcher: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    private(set) var isClosed = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        isClosed = true
        context.close(mode: mode, promise: promise)
    }
}

/// What a queue would have been given.
final class RecordingQueue {
    var messages: [(envelope: Envelope, content: [UInt8])] = []
    var nextID: UInt64 = 0x10_0000_0000
}

final class RecordingHandOff: MessageHandOff {
    private let queue: RecordingQueue

    init(_ queue: RecordingQueue) { self.queue = queue }

    var storageIsShort: Bool { false }

    func reserveQueueID() async throws(HandOffFailure) -> QueueID {
        queue.nextID += 1
        return QueueID(rawValue: queue.nextID)
    }

    func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer { RecordingTransfer(queue, envelope) }
}

final class RecordingTransfer: MessageTransfer {
    private let queue: RecordingQueue
    private let envelope: Envelope
    private var content: [UInt8] = []

    init(_ queue: RecordingQueue, _ envelope: Envelope) {
        self.queue = queue
        self.envelope = envelope
    }

    func write(_ bytes: ByteBuffer) async throws(HandOffFailure) { content += bytes.readableBytesView }
    func commit() async throws(HandOffFailure) { queue.messages.append((envelope, content)) }
    func abort() {}
}

/// What a session logged, without host and time.
final class RecordingLog: LogSink {
    private let state = Mutex<[String]>([])

    var lines: [String] { state.withLock { $0 } }

    func clear() { state.withLock { $0 = [] } }
    func write(tag: String, processID: Int, text: String, severity: LogSeverity) { state.withLock { $0.append(text) } }
}

/// PLAIN succeeds with one response, LOGIN after two answers; everything else fails.
struct ScriptedLogin: Authenticator {
    func mechanisms(tlsActive: Bool) -> [String] { ["PLAIN", "LOGIN"] }

    func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        switch (request.mechanism, request.initialResponse) {
        case ("PLAIN", "AGEAYg=="): (.success(username: "a"), nil)
        case ("PLAIN", nil), ("LOGIN", _): (.challenge("VXNlcm5hbWU6"), Exchange())
        case ("SLOW", _): (.unavailable(reason: "generic failure", username: nil), nil)
        default: (.rejected(reason: "authentication failure", username: request.initialResponse), nil)
        }
    }

    private final class Exchange: AuthenticationExchange {
        private var answers = 0

        func `continue`(_ response: String) async -> AuthenticationStep {
            answers += 1
            if answers == 1 { return .challenge("UGFzc3dvcmQ6") }
            return response == "YQ==" ? .success(username: "a") : .rejected(reason: "authentication failure", username: response)
        }

        func cancel() {}
    }
}
