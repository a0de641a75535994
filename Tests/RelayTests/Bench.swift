import LoopTask
import MailLog
import NIOCore
import NIOPosix
import PosternTesting
import Resolver
import Routing
import SMTPCore
import Settings
import Spool
import Synchronization
import Tables
import Testing

@testable import Relay

/// Content held in memory, or pretending to be on the disk.
struct TestContent: MessageContent {
    var bytes: ByteBuffer
    var isOnDisk = false
    var failsAt: Int?

    var size: Int { bytes.readableBytes }
    var inMemory: ByteBuffer? { isOnDisk ? nil : bytes }

    struct Unreadable: Error {}

    func read(offset: Int, length: Int) throws -> ByteBuffer {
        if let failsAt, offset >= failsAt { throw Unreadable() }
        return bytes.getSlice(at: bytes.readerIndex + offset, length: min(length, size - offset)) ?? ByteBuffer()
    }
}

extension DeliveryReport {
    /// Of a job after which at most one notice is due.
    var bounce: GeneratedMessage? {
        #expect(bounces.count < 2)
        return bounces.first
    }
}

/// Collects the reports a spool would write down.
final class TestLedger: DeliveryLedger {
    private let state = Mutex(
        (next: UInt64(0xB000000000), reports: [DeliveryReport](), submitted: [GeneratedMessage](), fails: false)
    )

    struct NoID: Error {}

    init(givesNoIDs: Bool = false, storageIsShort: Bool = false) {
        self.storageIsShort = storageIsShort
        state.withLock { $0.fails = givesNoIDs }
    }

    var reports: [DeliveryReport] { state.withLock { $0.reports } }
    let storageIsShort: Bool

    func reserveQueueID() async throws -> QueueID {
        try state.withLock { state in
            if state.fails { throw NoID() }
            state.next += 1
            return QueueID(rawValue: state.next)
        }
    }

    func record(_ report: DeliveryReport) { state.withLock { $0.reports.append(report) } }

    /// Messages that belong to no attempt.
    var submitted: [GeneratedMessage] { state.withLock { $0.submitted } }

    func submit(_ message: GeneratedMessage) async throws { state.withLock { $0.submitted.append(message) } }
}

/// Keeps what was logged.
final class TestLog: LogSink {
    private let state = Mutex([String]())
    var lines: [String] { state.withLock { $0 } }

    func write(tag: String, processID: Int, text: String, severity: LogSeverity) {
        state.withLock { $0.append("\(tag): \(severity.prefix)\(text)") }
    }

    func line(_ part: String) -> String? { lines.first { $0.contains(part) } }
}

/// A relay with everything around it, for one test.
final class RelayBench {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    private let reports: any DeliveryLedger
    let log = TestLog()
    let agent: RelayAgent
    private var nextID: UInt64 = 0xA000000000

    /// - Parameter routes: domain to `transport:nexthop`; anything else goes to `default`.
    init(
        _ parameters: [String: String] = [:],
        routes: [String: String] = [:],
        names: ScriptedNameService = ScriptedNameService(),
        ownAddresses: [IPAddress] = [],
        transports: [(name: String, command: String, overrides: [String: String])] = [],
        ledger: any DeliveryLedger = TestLedger(),
        sink: (any LogSink)? = nil,
        resolver custom: RecipientResolver? = nil,
        connectionLimit: Int? = nil
    ) throws {
        let quick = ["smtp_helo_timeout": "5s", "smtp_connect_timeout": "5s", "minimal_backoff_time": "300s"]
        let values = quick.merging(parameters) { $1 }
        let main = ServiceSettings.testing(values)
        let standard = [
            ("smtp", "smtp"), ("relay", "smtp"), ("lmtp", "lmtp"), ("error", "error"), ("retry", "error"), ("discard", "discard"),
        ]
        var services = standard.map { TransportService(name: $0.0, command: $0.1, settings: main, main: main) }
        for (name, command, overrides) in transports {
            services.append(TransportService(name: name, command: command, settings: .testing(values, overrides: overrides), main: main))
        }
        var configuration = try RelayConfiguration(main: main, transports: services, tables: TableRegistry(), ownAddresses: ownAddresses)
        if let connectionLimit { configuration.queue.connectionLimit = connectionLimit }
        let resolver: RecipientResolver = { recipient, _ in
            let route = routes[recipient.domain ?? ""] ?? "smtp:\(recipient.domain ?? "")"
            let parts = route.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return AddressResolution(
                outcome: route == "illegal:" ? .illegal : route == "failed:" ? .failed("table") : .resolved,
                addressClass: .default,
                transport: String(parts[0]),
                nextHop: String(parts[1]),
                recipient: recipient
            )
        }
        reports = ledger
        agent = RelayAgent(
            configuration: configuration,
            resolver: custom ?? resolver,
            names: names,
            log: MailLog(sink: sink ?? log, tag: "postfix", processID: 100),
            executors: group.makeIterator().map { LoopExecutor($0) }
        )
        agent.start(ledger: ledger)
    }

    /// The ledger of all tests but the measurement.
    var ledger: TestLedger { reports as! TestLedger }

    func job(
        from sender: String = "s@y.example",
        to recipients: [String],
        _ content: TestContent = TestContent(bytes: ByteBuffer(string: "Subject: x\r\n\r\nhello\r\n")),
        age: Double = 0,
        isExpired: Bool = false,
        body: BodyType = .unspecified
    ) -> DeliveryJob {
        nextID += 1
        return DeliveryJob(
            id: QueueID(rawValue: nextID),
            envelope: Envelope(
                sender: Self.address(sender),
                recipients: recipients.map { Recipient(address: Self.address($0)) },
                body: body
            ),
            content: content,
            arrival: WallClock.now() - age,
            isExpired: isExpired
        )
    }

    /// Delivers and waits for the report; traps rather than waits for ever.
    func deliver(_ job: DeliveryJob) async throws -> DeliveryReport {
        agent.deliver(job)
        return try await report(of: job.id)
    }

    struct NoReport: Error {}

    func report(of id: QueueID) async throws -> DeliveryReport {
        for _ in 0..<3000 {
            if let report = ledger.reports.first(where: { $0.id == id }) { return report }
            try await Task.sleep(for: .milliseconds(10))
        }
        throw NoReport()
    }

    func end() async throws {
        await agent.shutDown(within: .seconds(5))
        try await group.shutdownGracefully()
    }

    static func address(_ text: String) -> Address {
        guard let at = text.lastIndex(of: "@") else { return Address(localPart: text, domain: nil) }
        return Address(localPart: String(text[..<at]), domain: String(text[text.index(after: at)...]))
    }
}
