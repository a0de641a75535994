import NIOCore
package import SMTPCore
import Synchronization

/// The queue: after an accept is completed, the message survives (Docs/spool.md).
package final class Spool: Sendable, DeliveryLedger {
    let core: SpoolCore
    private let thread = Mutex<PlainThread?>(nil)
    private let lock: Mutex<(any Sendable & AnyObject)?>

    private init(core: SpoolCore, lock: any Sendable & AnyObject) {
        self.core = core
        self.lock = Mutex(lock)
        if !core.options.isManual { thread.withLock { $0 = PlainThread { core.run() } } }
    }

    /// Creates what is missing under `directory` (`queue_directory`), takes the lock and reads the journal. Nothing is delivered before
    /// ``start(agent:)``, so this serves offline use too. Blocking.
    package static func open(
        directory: String,
        options: SpoolOptions,
        fileSystem: any SpoolFileSystem = LinuxFileSystem(),
        clock: any SpoolClock = SystemClock(),
        observer: any SpoolObserver
    ) throws(SpoolError) -> Spool {
        let paths = SpoolPaths(directory: directory)
        let lock = try prepare(paths, fileSystem)
        var options = options
        // Offsets in a segment are kept in 32 bits.
        options.segmentSize = min(max(options.segmentSize, 4_096), 1 << 30)
        options.batchSize = min(max(options.batchSize, 4_096), 64 << 20)
        options.inlineLimit = min(options.inlineLimit, 16 << 20)
        options.queueIDLease = max(options.queueIDLease, 1)
        let wall = clock.wallTime()
        var replay = try Replay(fileSystem, directory: paths.journal)
        // Ten digits in Postfix's look, and beyond whatever an earlier queue on this host has used.
        if replay.index.queueIDLimit == 0 { replay.index.queueIDLimit = UInt64(min(max(wall, 1e9), 1e12)) << 8 }
        // The record of the last lease may be among what cannot be read.
        if !replay.damages.isEmpty { replay.index.queueIDLimit += 1 << 20 }
        let engine = SpoolEngine(
            replay,
            options: options,
            fileSystem: fileSystem,
            paths: paths,
            wall: wall,
            monotonic: clock.monotonicTime()
        )
        removeLeftovers(replay, paths, fileSystem)
        for damage in replay.damages where !damage.isAcknowledged { observer.spoolEvent(.damaged(damage.text)) }
        for note in replay.notes { observer.spoolEvent(.housekeepingFailed(note)) }
        if wall < replay.newestTime {
            observer.spoolEvent(
                .clockNotTrusted("the clock is behind the newest record in the queue; nothing expires until it has caught up")
            )
        }
        let suspects = engine.index.entries.ids { $1.isSuspect && !$1.isKept }.count
        if suspects > 0 { observer.spoolEvent(.interrupted(suspects)) }
        var crashes = CrashRecord(fileSystem, path: paths.crash)
        crashes.keep { engine.index[$0] != nil }
        if let last = crashes.last { observer.spoolEvent(.crashed(last.id, signal: last.signal)) }
        let core = SpoolCore(
            engine: engine,
            crashes: crashes,
            options: options,
            fileSystem: fileSystem,
            clock: clock,
            observer: observer,
            paths: paths
        )
        return Spool(core: core, lock: lock)
    }

    private static func prepare(_ paths: SpoolPaths, _ fileSystem: any SpoolFileSystem) throws(SpoolError) -> any Sendable & AnyObject {
        let taken: (any Sendable & AnyObject)?
        do throws(FileSystemError) {
            for path in [paths.directory, paths.journal, paths.contents] { try fileSystem.createDirectory(path) }
            taken = try fileSystem.lock(paths.lock)
            try fileSystem.syncDirectory(paths.directory)
        } catch {
            throw .fileSystem(error.description)
        }
        guard let taken else { throw .alreadyOpen(paths.lock) }
        return taken
    }

    /// Removes files that no record speaks of: content of messages that were never accepted, or are finished, and segments that came to
    /// nothing. Not while anything is unreadable, since the record might be there.
    private static func removeLeftovers(_ replay: Replay, _ paths: SpoolPaths, _ fileSystem: any SpoolFileSystem) {
        guard replay.damages.isEmpty else { return }
        for path in replay.voidFiles { try? fileSystem.unlink(path) }
        for name in (try? fileSystem.list(paths.contents)) ?? [] {
            guard let id = QueueID(name), id.description == name, replay.index[id] == nil else { continue }
            try? fileSystem.unlink(paths.content(id))
        }
    }

    /// From here on, a fault of this process is counted against the message that the failing thread was working on. Once for each process,
    /// and only on the file system of this machine.
    package func watchCrashes() throws(SpoolError) {
        try core.crashes.withLock { record throws(SpoolError) in try record.watch() }
    }

    /// Begins handing due messages to the agent.
    package func start(agent: any DeliveryAgent) {
        for id in core.poisonous {
            perform(.hold, on: .message(id)) { [core] result in
                if case .success = result { core.observer.spoolEvent(.poisonous(id)) }
            }
        }
        core.agent.withLock { $0 = agent }
        core.engine.withLock { engine in
            engine.isDelivering = true
            engine.nextRun = engine.monotonic
            engine.nextSpaceCheck = engine.monotonic
        }
        core.requestLease()
    }

    /// Hands out nothing more; mail is still taken, and waits for the next start.
    package func pause() { core.engine.withLock { $0.isDelivering = false } }

    /// Ends scheduling, flushes what is pending, ends the threads and gives the lock back. Later calls fail with ``SpoolError/closed``. Blocking.
    package func close() {
        core.engine.withLock { $0.isDelivering = false }
        core.agent.withLock { $0 = nil }
        // Content that is being written ends first: its accept still has to get into the box.
        core.pool.close()
        let wasClosed = core.inbox.withLock { inbox in
            defer { inbox.isClosed = true }
            inbox.isUrgent = true
            return inbox.isClosed
        }
        guard !wasClosed else { return }
        core.wakeUp.post()
        let thread = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        if let thread { thread.join() } else { core.turn(isClosing: true) }
        core.failLease(.closed, finally: true)
        lock.withLock { $0 = nil }
    }

    // MARK: Taking mail

    /// Whether new mail is refused for want of space (`queue_minfree`); looked up at most once a second.
    package var storageIsShort: Bool { core.storageIsShort.load(ordering: .relaxed) }

    /// Puts a message into the queue. Any thread; does not wait.
    package func accept(_ message: IncomingMessage, receipt: any AcceptReceipt) {
        guard message.content.readableBytes <= core.options.inlineLimit else {
            let writer = beginLarge(message.id)
            writer.append(message.content) { _ in }
            return writer.commit(message.envelope, arrival: message.arrival, receipt: receipt)
        }
        let record = MessageRecord(newMessage: message.envelope, size: message.content.readableBytes, arrival: message.arrival)
        let fact = JournalFact.message(message.id, record, isInFile: false)
        core.accept(
            PendingAccept(
                id: message.id,
                record: fact.encoded(body: message.content),
                fact: fact,
                envelope: message.envelope,
                content: message.content,
                receipt: receipt
            )
        )
    }

    /// Starts a message whose content is longer than ``SpoolOptions/inlineLimit``, or of unknown length.
    package func beginLarge(_ id: QueueID) -> ContentWriter { ContentWriter(id: id, core: core) }

    // MARK: DeliveryLedger

    package func reserveQueueID() async throws -> QueueID {
        let ids = try await withCheckedThrowingContinuation { continuation in
            reserveQueueIDs(1) { continuation.resume(with: $0.mapError { $0 as any Error }) }
        }
        return QueueID(rawValue: ids.lowerBound)
    }

    package func record(_ report: DeliveryReport) { core.record(report) }

    package func submit(_ message: GeneratedMessage) async throws {
        let now = core.clock.wallTime()
        let incoming = IncomingMessage(id: message.id, envelope: message.envelope, content: message.content, arrival: now)
        try await withCheckedThrowingContinuation { accept(incoming, receipt: SubmissionReceipt($0)) }
    }

    private final class SubmissionReceipt: AcceptReceipt {
        private let continuation: CheckedContinuation<Void, any Error>
        init(_ continuation: CheckedContinuation<Void, any Error>) { self.continuation = continuation }
        func completed(_ result: Result<Void, SpoolError>) { continuation.resume(with: result.mapError { $0 as any Error }) }
    }

    // MARK: Manual mode

    /// With ``SpoolOptions/isManual``: does what is pending, as one turn of the writer would, and returns whether there was anything.
    @discardableResult package func turn() -> Bool { core.turn() }
}
