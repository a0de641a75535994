import Foundation
import Glibc
import NIOCore
import PosternTesting
import SMTPCore
import Spool
import Synchronization
import Testing

/// The same spool with its threads, on the disk of this machine.
@Suite struct RealDiskTests {
    static func withDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "spool-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try body(directory)
    }

    /// Delivers everything at once, but each message only at its second attempt.
    final class DeliveringAgent: DeliveryAgent {
        let spool: Spool
        let attempts = Mutex<[QueueID: Int]>([:])
        let damaged = Mutex<[QueueID]>([])
        init(_ spool: Spool) { self.spool = spool }

        func deliver(_ job: DeliveryJob) {
            let attempt = attempts.withLock { attempts in
                attempts[job.id, default: 0] += 1
                return attempts[job.id] ?? 0
            }
            if (try? read(job.content)) != content(job.id, job.content.size) { damaged.withLock { $0.append(job.id) } }
            let outcome: RecipientOutcome = attempt < 2 ? .deferred("try again") : .delivered
            spool.record(DeliveryReport(id: job.id, outcomes: job.envelope.recipients.map { _ in outcome }))
        }
    }

    @Test(.timeLimit(.minutes(2))) func threadsAcceptDeliverAndRestart() throws {
        try Self.withDirectory { directory in
            var options = SpoolOptions()
            options.minimalBackoff = 0
            options.queueRunDelay = 1
            options.segmentSize = 1 << 20
            options.memoryLimit = 1 << 20
            let observer = RecordingObserver()
            var spool = try Spool.open(directory: directory, options: options, observer: observer)
            var agent = DeliveringAgent(spool)
            spool.start(agent: agent)
            let accepted = Mutex<Set<QueueID>>([])
            let done = DispatchGroup()
            for _ in 0..<4 {
                done.enter()
                let thread = Thread { [spool] in
                    for number in 0..<100 {
                        guard let id = try? spool.reserveQueueID() else { continue }
                        let finished = DispatchSemaphore(value: 0)
                        let receipt = RecordingReceipt { result in
                            if case .success = result { _ = accepted.withLock { $0.insert(id) } }
                            finished.signal()
                        }
                        let size = number % 20 == 0 ? 200_000 : 4_000
                        let message = IncomingMessage(
                            id: id,
                            envelope: envelope(to: ["a@example.org"]),
                            content: content(id, size),
                            arrival: Date().timeIntervalSince1970
                        )
                        spool.accept(message, receipt: receipt)
                        finished.wait()
                    }
                    done.leave()
                }
                thread.start()
            }
            done.wait()
            #expect(accepted.withLock { $0.count } == 400)
            #expect(throws: SpoolError.alreadyOpen(directory + "/journal/LOCK")) {
                try Spool.open(directory: directory, options: options, observer: observer)
            }
            spool.close()
            #expect(agent.damaged.withLock { $0 } == [])
            let delivered = Set(observer.removed)
            // A second life serves what the first one left.
            let second = RecordingObserver()
            spool = try Spool.open(directory: directory, options: options, observer: second)
            #expect(Set(try spool.list(limit: 10_000).map(\.id)).union(delivered) == accepted.withLock { $0 })
            agent = DeliveringAgent(spool)
            spool.start(agent: agent)
            let deadline = Date().addingTimeInterval(60)
            while try !spool.list(limit: 1).isEmpty, Date() < deadline { Thread.sleep(forTimeInterval: 0.05) }
            #expect(try spool.list().isEmpty)
            spool.close()
            #expect(agent.damaged.withLock { $0 } == [])
            #expect(delivered.union(second.removed) == accepted.withLock { $0 })
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory + "/content") == [])
        }
    }

    /// Whatever an earlier process left in the file is no lock; a process that lives is one, and its death by SIGKILL ends it.
    @Test func theLockIsThatOfALivingProcess() throws {
        try Self.withDirectory { directory in
            func open() throws(SpoolError) {
                let spool = try Spool.open(directory: directory, options: SpoolOptions(), observer: RecordingObserver())
                spool.close()
            }
            try open()
            let path = directory + "/journal/LOCK"
            try "1\n".write(toFile: path, atomically: false, encoding: .utf8)
            try open()
            let holder = Process()
            let output = Pipe()
            holder.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            holder.arguments = [
                "python3", "-c",
                "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print(); sys.stdout.flush(); time.sleep(60)", path,
            ]
            holder.standardOutput = output
            try holder.run()
            #expect(try output.fileHandleForReading.read(upToCount: 1)?.count == 1)
            #expect(throws: SpoolError.alreadyOpen(path)) { try open() }
            kill(holder.processIdentifier, SIGKILL)
            holder.waitUntilExit()
            try open()
        }
    }

    @Test func permissionsAreTight() throws {
        try Self.withDirectory { directory in
            let spool = try Spool.open(directory: directory, options: SpoolOptions(), observer: RecordingObserver())
            _ = try spool.reserveQueueIDs(1)
            spool.close()
            for (path, mode) in [("journal", 0o700), ("content", 0o700), ("journal/00000001.log", 0o600), ("journal/LOCK", 0o600)] {
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/\(path)")
                #expect(attributes[.posixPermissions] as? Int == mode, "\(path)")
            }
        }
    }
}
