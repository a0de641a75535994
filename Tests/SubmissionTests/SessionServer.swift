import Authentication
import HandOff
import LoopTask
import MailLog
import NIOCore
import NIOPosix
import PosternTesting
import Resolver
import Restrictions
import Routing
import SMTPCore
import Settings
import Submission
import Synchronization
import TLS
import Tables

/// The real session behind a real listening socket on loopback, with the hand-off, the log and the name service in memory.
final class SessionServer: Sendable {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let queue = MemoryQueue()
    let log = MemoryLog()
    let registry: SessionRegistry
    let port: Int
    private let listener: any Channel

    init(
        _ values: [String: String] = [:],
        tls: TLSContext? = nil,
        authenticator: (any Authenticator)? = nil,
        names: any NameService = ScriptedNameService(),
        flushDomains: String = ""
    ) async throws {
        var main = [
            "myhostname": "mx.test.example", "smtpd_peername_lookup": "no", "local_recipient_maps": "", "alias_maps": "",
            "local_transport": "lmtp:unix:lmtp",
        ]
        main.merge(values) { $1 }
        let settings = ServiceSettings.testing(main, serviceName: "smtp")
        registry = SessionRegistry(firstNumber: 100, limit: settings.integer("smtpd_connection_limit"))
        let tables = TableRegistry()
        let loopback = IPAddress("127.0.0.1")!
        let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [loopback])
        let (log, registry, limits) = (log, registry, ClientLimits())
        func submission(_ settings: ServiceSettings, stressed: SubmissionService?) throws -> SubmissionService {
            SubmissionService(
                policy: try SessionPolicy(settings, tables: tables, ownAddresses: OwnAddresses([loopback])),
                tls: tls,
                authenticator: authenticator,
                rules: try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: names),
                router: router,
                names: names,
                logSink: log,
                fastFlush: try DomainList(flushDomains, matching: .subdomains, tables: tables),
                registry: registry,
                limits: limits,
                stressed: stressed
            )
        }
        let service = try submission(settings, stressed: try submission(settings.overriding(["stress": "yes"]), stressed: nil))
        let loop = group.next()
        let executor = LoopExecutor(loop)
        let queue = queue
        listener = try await ServerBootstrap(group: loop, childGroup: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try startSession(on: channel, service: service, executor: executor, handOff: MemoryHandOff(queue))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
    }

    /// Ends everything; waits until the sessions are gone, with a bound.
    func stop() async throws {
        try await listener.close()
        registry.shutDown()
        for _ in 0..<200 where registry.count > 0 { try await Task.sleep(for: .milliseconds(10)) }
        try await group.shutdownGracefully()
    }

    /// Runs `body` against a server and stops it.
    static func run<Result: Sendable>(
        _ values: [String: String] = [:],
        tls: TLSContext? = nil,
        authenticator: (any Authenticator)? = nil,
        names: any NameService = ScriptedNameService(),
        flushDomains: String = "",
        _ body: @Sendable (SessionServer) async throws -> Result
    ) async throws -> Result {
        let server = try await SessionServer(
            values,
            tls: tls,
            authenticator: authenticator,
            names: names,
            flushDomains: flushDomains
        )
        do {
            let result = try await body(server)
            try await server.stop()
            return result
        } catch {
            try? await server.stop()
            throw error
        }
    }
}

/// What a queue has been given.
final class MemoryQueue: Sendable {
    struct Message: Sendable {
        var id: QueueID
        var envelope: Envelope
        var content: String
        var bytes: ByteBuffer
    }

    private struct State {
        var messages: [Message] = []
        var nextID: UInt64 = 0x10_0000_0000
        var storageIsShort = false
        var failure: HandOffFailure?
        var largestWrite = 0
        var aborted = 0
        var flushed: [String] = []
        var takesFlushes = true
    }

    private let state = Mutex(State())

    var messages: [Message] { state.withLock { $0.messages } }
    var largestWrite: Int { state.withLock { $0.largestWrite } }
    var aborted: Int { state.withLock { $0.aborted } }
    var storageIsShort: Bool {
        get { state.withLock { $0.storageIsShort } }
        set { state.withLock { $0.storageIsShort = newValue } }
    }
    /// Thrown by every commit while set.
    var failure: HandOffFailure? {
        get { state.withLock { $0.failure } }
        set { state.withLock { $0.failure = newValue } }
    }

    func reserve() -> QueueID {
        state.withLock { state in
            state.nextID += 1
            return QueueID(rawValue: state.nextID)
        }
    }

    func add(_ message: Message) { state.withLock { $0.messages.append(message) } }
    func noteWrite(_ size: Int) { state.withLock { $0.largestWrite = max($0.largestWrite, size) } }
    /// Domains that ETRN has named.
    var flushed: [String] { state.withLock { $0.flushed } }
    /// Whether the queue can be asked to try mail.
    var takesFlushes: Bool {
        get { state.withLock { $0.takesFlushes } }
        set { state.withLock { $0.takesFlushes = newValue } }
    }

    func noteFlush(_ domain: String) -> Bool {
        state.withLock { state in
            if state.takesFlushes { state.flushed.append(domain) }
            return state.takesFlushes
        }
    }

    func noteAbort() { state.withLock { $0.aborted += 1 } }
}

/// The hand-off of one session into a ``MemoryQueue``.
final class MemoryHandOff: MessageHandOff {
    private let queue: MemoryQueue

    init(_ queue: MemoryQueue) { self.queue = queue }

    var storageIsShort: Bool { queue.storageIsShort }
    func reserveQueueID() async throws(HandOffFailure) -> QueueID { queue.reserve() }
    func begin(_ id: QueueID, _ envelope: Envelope) -> any MessageTransfer { MemoryTransfer(queue, id, envelope) }
    func flush(domain: String) -> Bool { queue.noteFlush(domain) }
}

final class MemoryTransfer: MessageTransfer {
    private let queue: MemoryQueue
    private let id: QueueID
    private var envelope: Envelope
    private var content = ByteBuffer()

    init(_ queue: MemoryQueue, _ id: QueueID, _ envelope: Envelope) {
        self.queue = queue
        self.id = id
        self.envelope = envelope
    }

    func write(_ bytes: ByteBuffer) async throws(HandOffFailure) {
        queue.noteWrite(bytes.readableBytes)
        content.writeImmutableBuffer(bytes)
    }

    func amend(_ envelope: Envelope) { self.envelope = envelope }

    func commit() async throws(HandOffFailure) {
        if let failure = queue.failure { throw failure }
        queue.add(MemoryQueue.Message(id: id, envelope: envelope, content: String(buffer: content), bytes: content))
    }

    func abort() { queue.noteAbort() }
}

/// The lines a server logged, without host and time.
final class MemoryLog: LogSink {
    private let state = Mutex<[String]>([])

    var lines: [String] { state.withLock { $0 } }

    func write(tag: String, processID: Int, text: String, severity: LogSeverity) {
        state.withLock { $0.append("\(tag)[\(processID)]: \(severity.prefix)\(text)") }
    }

    /// The text of a line that contains `part`; waits a little for it, since the end of a session is logged after its last reply.
    func line(containing part: String) async -> String? {
        for _ in 0..<200 {
            if let line = lines.first(where: { $0.contains(part) }) { return line }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }

    /// Like ``line(containing:)``, for a whole line (tag and text) with `*` as in dialogues.
    func line(matching pattern: String) async -> String? {
        for _ in 0..<200 {
            if let line = lines.first(where: { DialogueFile.matches($0, pattern) }) { return line }
            try? await Task.sleep(for: .milliseconds(10))
        }
        return nil
    }
}
