import Glibc
import MailLog
import NIOCore
import Settings
import Spool

/// `postern queue`: asks the queue role, or opens the queue itself, as `mail_owner`, while the server is down.
package enum QueueAccess {
    /// Prints the answer; returns the exit status.
    package static func run(_ request: QueueRequest, configurationDirectory: String) -> CInt {
        let (loaded, diagnostics) = Configuration.load(directory: configurationDirectory)
        guard let configuration = loaded else {
            for diagnostic in diagnostics { ServerStart.report("\(diagnostic)") }
            return 1
        }
        let queueDirectory = configuration.main.text("queue_directory")
        do {
            if let connection = connect(queueDirectory) { return ask(request, connection) }
            return try openAndRespond(request, configuration)
        } catch {
            ServerStart.report("postern: \(error)")
            return 1
        }
    }

    /// Seconds after which a queue role that says nothing is taken for one that does not answer.
    private static let statusLimit = 5
    /// Seconds in which a queue role that is being replaced is back.
    private static let patience = 3.0

    /// nil when there is no server, or its queue role stays away: then the queue may be opened.
    private static func connect(_ queueDirectory: String) -> CInt? {
        let deadline = monotonicSeconds() + patience
        while true {
            if let connection = try? UnixSocket.connect(to: QueueControlServer.path(queueDirectory: queueDirectory), seconds: statusLimit) {
                return connection
            }
            guard monotonicSeconds() < deadline, PIDFile.runningProcess(queueDirectory: queueDirectory) != nil else { return nil }
            usleep(100_000)
        }
    }

    /// What the queue role says of the queue; nil while it does not answer. The queue itself is left alone: a role may be about to open it.
    static func status(queueDirectory: String) -> String? {
        let began = monotonicSeconds()
        if let answer = answerToStatus(queueDirectory) { return answer }
        // Once more when the role that took the request has ended before its answer; not when it is there and says nothing.
        return monotonicSeconds() - began < Double(statusLimit) ? answerToStatus(queueDirectory) : nil
    }

    private static func answerToStatus(_ queueDirectory: String) -> String? {
        guard let connection = connect(queueDirectory) else { return nil }
        defer { close(connection) }
        guard UnixSocket.write(QueueRequest.status.line + "\n", to: connection) else { return nil }
        let text = UnixSocket.readAll(from: connection)
        // A damaged queue has an answer, too: the damage is a part of it.
        for verdict in ["OK\n", "DAMAGE\n"] where text.hasPrefix(verdict) { return String(text.dropFirst(verdict.count)) }
        return nil
    }

    private static func ask(_ request: QueueRequest, _ connection: CInt) -> CInt {
        defer { close(connection) }
        // Reading all of a large queue takes as long as it takes.
        switch request {
        case .verify, .acknowledge: UnixSocket.setTimeLimits(connection, seconds: 0)
        default: UnixSocket.setTimeLimits(connection, seconds: 120)
        }
        guard UnixSocket.write(request.line + "\n", to: connection) else { return 1 }
        shutdown(connection, CInt(SHUT_WR))
        var head: [UInt8] = []
        while !head.contains(UInt8(ascii: "\n")) {
            let bytes = UnixSocket.read(from: connection)
            if bytes.isEmpty { break }
            head += bytes
        }
        guard let end = head.firstIndex(of: UInt8(ascii: "\n")) else {
            ServerStart.report("postern: the queue role does not answer")
            return 1
        }
        let verdict = String(decoding: head[..<end], as: UTF8.self)
        guard verdict == "OK" || verdict == "DAMAGE" else {
            ServerStart.report("postern: \(verdict.hasPrefix("ERROR ") ? String(verdict.dropFirst(6)) : verdict)")
            return 1
        }
        let status: CInt = verdict == "OK" ? 0 : 1
        var payload = Array(head[(end + 1)...])
        while true {
            guard output(payload) else { return status }
            payload = UnixSocket.read(from: connection)
            if payload.isEmpty { return status }
        }
    }

    private static func openAndRespond(_ request: QueueRequest, _ configuration: Configuration) throws -> CInt {
        let queueDirectory = configuration.main.text("queue_directory")
        let owner = try Account.owner(configuration.main)
        for text in try Directories.prepareQueue(queueDirectory, owner: owner) { ServerStart.report("postern: mended: \(text)") }
        // Files made here must belong to the mail owner, or the queue role could not open them later.
        try owner.become()
        let spool = try Spool.open(
            directory: queueDirectory,
            options: SpoolOptions(configuration.main),
            fileSystem: LinuxFileSystem(),
            clock: SystemClock(),
            observer: OfflineObserver()
        )
        defer { spool.close() }
        let console = Console()
        try QueueResponder(spool: spool).respond(to: request, output: console)
        return console.status
    }

    /// Standard output.
    private final class Console: QueueResponder.Output {
        var status: CInt = 0

        func verdict(isSound: Bool) { if !isSound { status = 1 } }
        func write(_ bytes: ByteBuffer) -> Bool { output(Array(buffer: bytes)) }
    }

    private static func output(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return false }
        }
        return true
    }
}

/// Says on standard error what an administrator must know; the rest is for the log of a running server.
private final class OfflineObserver: SpoolObserver {
    func spoolEvent(_ event: SpoolEvent) {
        switch event {
        case .damaged(let text), .acceptingStopped(let text), .segmentAbandoned(let text), .housekeepingFailed(let text):
            ServerStart.report("postern: queue: \(text)")
        case .crashed(let id, let signal):
            ServerStart.report("postern: queue: \(id): the queue role ended by signal \(signal) while working on this message")
        default: break
        }
    }
}

extension SpoolOptions {
    /// The queue parameters of main.cf.
    init(_ settings: ServiceSettings) {
        self.init()
        func seconds(_ name: String) -> Double { Double(settings.duration(name).components.seconds) }
        minimalBackoff = seconds("minimal_backoff_time")
        maximalBackoff = seconds("maximal_backoff_time")
        queueRunDelay = seconds("queue_run_delay")
        maximalQueueLifetime = seconds("maximal_queue_lifetime")
        bounceQueueLifetime = seconds("bounce_queue_lifetime")
        messageActiveLimit = settings.integer("qmgr_message_active_limit")
        let messageSizeLimit = settings.integer("message_size_limit")
        queueMinFree = UInt64(max(settings.integer("queue_minfree"), messageSizeLimit * 3 / 2))
        contentMinFree = queueMinFree - UInt64(messageSizeLimit)
        // The other half is for connections, and for content on its way out.
        openContentLimit = DescriptorLimit.current / 2
    }
}
