import Foundation
import Glibc
import HandOff
import LoopTask
import NIOCore
import NIOPosix
import SMTPCore
import Spool
import Synchronization
import Testing

@testable import PosternDaemon

/// The disk of this machine, whose flushes can be held up.
private final class StuckDisk: SpoolFileSystem {
    private let disk = LinuxFileSystem()
    private let gate = Gate()

    final class Gate: Sendable {
        private let state = Mutex((isShut: false, waiting: 0))
        private let opened = DispatchSemaphore(value: 0)

        func shut() { state.withLock { $0.isShut = true } }
        var waiting: Int { state.withLock { $0.waiting } }

        func open() {
            let count = state.withLock { state in
                defer { state = (false, 0) }
                return state.waiting
            }
            for _ in 0..<count { opened.signal() }
        }

        func pass() {
            let waits = state.withLock { state in
                if state.isShut { state.waiting += 1 }
                return state.isShut
            }
            if waits { opened.wait() }
        }
    }

    final class File: SpoolFile {
        private let file: any SpoolFile
        private let gate: Gate

        init(_ file: any SpoolFile, _ gate: Gate) {
            self.file = file
            self.gate = gate
        }

        func write(_ buffers: [ByteBuffer], at offset: Int) throws(FileSystemError) { try file.write(buffers, at: offset) }
        func read(at offset: Int, length: Int) throws(FileSystemError) -> ByteBuffer { try file.read(at: offset, length: length) }
        func allocate(_ length: Int) throws(FileSystemError) { try file.allocate(length) }
        func size() throws(FileSystemError) -> Int { try file.size() }

        func sync() throws(FileSystemError) {
            gate.pass()
            try file.sync()
        }
    }

    func shut() { gate.shut() }
    func open() { gate.open() }
    var waiting: Int { gate.waiting }

    func createDirectory(_ path: String) throws(FileSystemError) { try disk.createDirectory(path) }
    func list(_ path: String) throws(FileSystemError) -> [String] { try disk.list(path) }
    func open(_ path: String) throws(FileSystemError) -> any SpoolFile { File(try disk.open(path), gate) }
    func create(_ path: String) throws(FileSystemError) -> any SpoolFile { File(try disk.create(path), gate) }
    func unlink(_ path: String) throws(FileSystemError) { try disk.unlink(path) }
    func syncDirectory(_ path: String) throws(FileSystemError) { try disk.syncDirectory(path) }
    func freeSpace(_ path: String) throws(FileSystemError) -> UInt64 { try disk.freeSpace(path) }
    func lock(_ path: String) throws(FileSystemError) -> (any Sendable & AnyObject)? { try disk.lock(path) }
    func randomNumber() -> UInt64 { disk.randomNumber() }
}

private final class Quiet: SpoolObserver {
    func spoolEvent(_ event: SpoolEvent) {}
}

/// A disk that takes its time stops neither the queue role's loops nor what they serve: the relay's sessions and the other connections.
@Suite struct StuckDiskTests {
    /// What happened, in its order.
    private final class Diary: Sendable {
        private let lines = Mutex<[String]>([])
        func note(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }

        func wait(for count: Int) -> Bool {
            for _ in 0..<3_000 {
                if all.count >= count { return true }
                usleep(10_000)
            }
            return false
        }
    }

    @Test func loopsGoOnWhileTheJournalIsStuck() throws {
        let directory = NSTemporaryDirectory() + "postern-stuck-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let disk = StuckDisk()
        var options = SpoolOptions()
        options.reserveSize = 0
        options.queueIDLease = 4_096
        let spool = try Spool.open(directory: directory, options: options, fileSystem: disk, observer: Quiet())
        defer { spool.close() }
        let diary = Diary()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        defer { try? group.syncShutdownGracefully() }
        let loop = group.next()
        spool.start(agent: Agent(diary))
        // An accept that waits for its flush, so that nothing can be written.
        let intake = QueueIntake(spool: spool, clock: SystemClock()) { _ in }
        let first = try spool.reserveQueueIDs(1).lowerBound
        disk.shut()
        defer { disk.open() }
        let message = IncomingMessage(
            id: QueueID(rawValue: first),
            envelope: Envelope(sender: .null, recipients: [Recipient(address: Address(localPart: "a", domain: "example.org"))]),
            content: ByteBuffer(string: "x"),
            arrival: 0
        )
        spool.accept(message, receipt: Receipt(diary))
        for _ in 0..<3_000 where disk.waiting == 0 { usleep(10_000) }
        #expect(disk.waiting == 1)
        // The hand-off on the only loop asks for ids until none are left, and so does the relay, for a bounce.
        var ends: [CInt] = [-1, -1]
        try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        HandOffServer.serve(ends[1], intake: intake, on: loop)
        let descriptor = ends[0]
        try loop.submit {
            let handOff = QueueHandOff(loop: loop)
            handOff.attach(descriptor)
            startLoopTask(on: LoopExecutor(loop)) {
                for _ in 0..<10_000 { _ = try? await handOff.reserveQueueID() }
                diary.note("ids")
            }
            startLoopTask(on: LoopExecutor(loop)) {
                let id = try? await spool.reserveBounceIDs(6_000)
                diary.note(id == true ? "bounce" : "no bounce")
            }
        }.wait()
        for turn in 0..<20 {
            usleep(20_000)
            try loop.submit { diary.note("turn \(turn)") }.wait()
        }
        #expect(diary.all == (0..<20).map { "turn \($0)" })
        disk.open()
        #expect(diary.wait(for: 24))
        #expect(Set(diary.all.dropFirst(20)) == ["accepted", "delivery", "ids", "bounce"])
    }

    private final class Agent: DeliveryAgent {
        private let diary: Diary
        init(_ diary: Diary) { self.diary = diary }
        func deliver(_ job: DeliveryJob) { diary.note("delivery") }
    }

    private final class Receipt: AcceptReceipt {
        private let diary: Diary
        init(_ diary: Diary) { self.diary = diary }
        func completed(_ result: Result<Void, SpoolError>) {
            if case .success = result { diary.note("accepted") } else { diary.note("refused") }
        }
    }
}

extension DeliveryLedger {
    /// So many bounces, one after the other.
    fileprivate func reserveBounceIDs(_ count: Int) async throws -> Bool {
        var last = QueueID(rawValue: 0)
        for _ in 0..<count {
            let id = try await reserveQueueID()
            guard id > last else { return false }
            last = id
        }
        return true
    }
}
