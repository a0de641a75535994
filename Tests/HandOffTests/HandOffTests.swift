import Dispatch
import Glibc
import HandOff
import LoopTask
import NIOCore
import NIOPosix
import SMTPCore
import Synchronization
import Testing

/// Keeps messages in memory and answers as it is told.
final class MemoryIntake: MessageIntake {
    struct State {
        /// Ids below were leased by an earlier queue role.
        var first: UInt64 = 1000
        var next: UInt64 = 1000
        var messages: [QueueID: (Envelope, ByteBuffer)] = [:]
        var result = HandOffResult.stored
        var short = false
        var flushed: [String] = []
        var answers = true
        /// Requests for ids are answered at all.
        var leases = true
        var waiting: [IntakeReceipt] = []
        /// Chunks that the disk has not taken, while ``takes`` is false.
        var takes = true
        var untaken: [@Sendable () -> Void] = []
        var earlier: Set<QueueID> = []
        /// So many requests for ids fail first.
        var leaseFailures = 0
    }
    let state = Mutex(State())

    func leaseQueueIDs(_ count: UInt32, completion: @escaping @Sendable (Range<UInt64>?) -> Void) {
        let range: Range<UInt64>? = state.withLock { state in
            if state.leaseFailures > 0 {
                state.leaseFailures -= 1
                return nil
            }
            defer { state.next += UInt64(count) }
            return state.next..<state.next + UInt64(count)
        }
        if state.withLock({ $0.leases }) { completion(range) }
    }

    /// Another queue role takes over: ids leased so far are an earlier one's.
    func restart() { state.withLock { $0.first = $0.next } }

    func claimEarlier(_ id: QueueID) -> Bool {
        state.withLock { state in id.rawValue < state.first && state.earlier.insert(id).inserted }
    }

    func accept(_ id: QueueID, _ envelope: Envelope, _ content: ByteBuffer, receipt: IntakeReceipt) {
        let result = state.withLock {
            if $0.result == .stored { $0.messages[id] = (envelope, content) }
            return $0.result
        }
        let answers = state.withLock { state in
            if !state.answers { state.waiting.append(receipt) }
            return state.answers
        }
        if answers { receipt.completed(result) }
    }

    /// Gives the answers that are due.
    func answer() {
        let waiting = state.withLock { state in
            defer { state.waiting = [] }
            state.answers = true
            return state.waiting
        }
        for receipt in waiting { receipt.completed(.stored) }
    }

    /// The disk has taken what was waiting, and takes what comes.
    func take() {
        let untaken = state.withLock { state in
            defer { state.untaken = [] }
            state.takes = true
            return state.untaken
        }
        for taken in untaken { taken() }
    }

    func begin(_ id: QueueID, _ envelope: Envelope) -> any LargeMessageIntake { Large(owner: self, id: id, envelope: envelope) }

    var storageIsShort: Bool { state.withLock { $0.short } }

    func flush(domain: String) { state.withLock { $0.flushed.append(domain) } }

    final class Large: LargeMessageIntake {
        let owner: MemoryIntake
        let id: QueueID
        var envelope: Envelope
        var bytes = ByteBuffer()

        init(owner: MemoryIntake, id: QueueID, envelope: Envelope) {
            self.owner = owner
            self.id = id
            self.envelope = envelope
        }

        func append(_ chunk: ByteBuffer, taken: @escaping @Sendable () -> Void) {
            bytes.writeImmutableBuffer(chunk)
            let takes = owner.state.withLock { state in
                if !state.takes { state.untaken.append(taken) }
                return state.takes
            }
            if takes { taken() }
        }

        func amend(_ envelope: Envelope) { self.envelope = envelope }
        func commit(receipt: IntakeReceipt) { owner.accept(id, envelope, bytes, receipt: receipt) }
        func abort() {}
    }
}

/// Something that blocks, on a thread of its own.
private final class Thread: Sendable {
    private let done = DispatchSemaphore(value: 0)

    static func detached(_ body: @escaping @Sendable () -> Void) -> Thread {
        let thread = Thread()
        DispatchQueue.global().async {
            body()
            thread.done.signal()
        }
        return thread
    }

    func wait() { done.wait() }
}

private func attachSoon(_ descriptor: CInt, _ handOff: QueueHandOff) {
    handOff.loop.assumeIsolated().scheduleTask(in: .milliseconds(50)) { handOff.attach(descriptor) }
}

@Suite struct HandOffTests {
    /// Runs `body` on a loop with both ends of a socketpair connected.
    private func withHandOff<T: Sendable>(
        leaseFailures: Int = 0,
        limits: HandOffLimits = HandOffLimits(),
        _ body: @escaping @Sendable (QueueHandOff, MemoryIntake, CInt) async throws -> T
    ) async throws -> T {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let loops = Array(group.makeIterator())
        var ends: [CInt] = [-1, -1]
        try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
        let intake = MemoryIntake()
        intake.state.withLock { $0.leaseFailures = leaseFailures }
        HandOffServer.serve(ends[1], intake: intake, on: loops[1])
        let (smtpd, queue) = (ends[0], ends[1])
        let result = await withCheckedContinuation { (done: CheckedContinuation<Result<T, any Error>, Never>) in
            loops[0].execute {
                let handOff = QueueHandOff(loop: loops[0], limits: limits)
                handOff.attach(smtpd)
                startLoopTask(on: LoopExecutor(loops[0])) {
                    do { done.resume(returning: .success(try await body(handOff, intake, queue))) } catch {
                        done.resume(returning: .failure(error))
                    }
                }
            }
        }
        try await group.shutdownGracefully()
        return try result.get()
    }

    @Test(arguments: [0, 1, 4096, 65536, 65537, 5_000_000]) func aMessageArrivesWhole(size: Int) async throws {
        let content = ByteBuffer(bytes: (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        let stored = try await withHandOff { handOff, intake, _ in
            let id = try await handOff.reserveQueueID()
            let transfer = handOff.begin(id, FrameTests.envelope)
            var rest = content
            while let piece = rest.readSlice(length: min(rest.readableBytes, 10_000)), piece.readableBytes > 0 {
                try await transfer.write(piece)
            }
            try await transfer.commit()
            return intake.state.withLock { $0.messages[id] }
        }
        #expect(stored?.0 == FrameTests.envelope)
        #expect(stored?.1 == content)
    }

    @Test func aRequestToFlushArrives() async throws {
        let flushed = try await withHandOff { handOff, intake, _ in
            #expect(!handOff.flush(domain: "too.early.example") || handOff.isConnected)
            _ = try await handOff.reserveQueueID()
            #expect(handOff.flush(domain: "one.example") && handOff.flush(domain: "[127.0.0.1]"))
            // Frames arrive in order, so they are there before this message.
            let transfer = handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope)
            try await transfer.commit()
            return intake.state.withLock { $0.flushed }
        }
        #expect(flushed.suffix(2) == ["one.example", "[127.0.0.1]"])
    }

    /// What the queue role does not take soon is refused, rather than to pile up.
    @Test func requestsToFlushDoNotPileUp() async throws {
        let refused = try await withHandOff { handOff, _, _ in
            _ = try await handOff.reserveQueueID()
            let domain = String(repeating: "x", count: 60) + ".example"
            return (0..<5_000).contains { _ in !handOff.flush(domain: domain) }
        }
        #expect(refused)
    }

    @Test func idsAreNeverRepeated() async throws {
        let ids = try await withHandOff { handOff, _, _ in
            var ids: [QueueID] = []
            for _ in 0..<10_000 { ids.append(try await handOff.reserveQueueID()) }
            return ids
        }
        #expect(Set(ids).count == 10_000)
        #expect(ids == ids.sorted())
    }

    /// A full disk at the start of the queue role, say: nobody else would ask again.
    @Test func idsThatWereRefusedAreAskedForAgain() async throws {
        let left = try await withHandOff(leaseFailures: 1) { handOff, intake, _ in
            _ = try await handOff.reserveQueueID()
            return intake.state.withLock { $0.leaseFailures }
        }
        #expect(left == 0)
    }

    @Test(arguments: [(HandOffResult.insufficientStorage, HandOffFailure.insufficientStorage)])
    func aFailureIsReported(_ result: HandOffResult, _ failure: HandOffFailure) async throws {
        await #expect(throws: failure) {
            try await withHandOff { handOff, intake, _ in
                intake.state.withLock { $0.result = result }
                let transfer = handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope)
                try await transfer.write(ByteBuffer(string: "x"))
                try await transfer.commit()
            }
        }
    }

    @Test func theEndOfTheQueueRoleFailsACommit() async throws {
        await #expect(throws: HandOffFailure.self) {
            try await withHandOff { handOff, _, queue in
                let id = try await handOff.reserveQueueID()
                shutdown(queue, CInt(SHUT_RDWR))
                let transfer = handOff.begin(id, FrameTests.envelope)
                try await transfer.commit()
            }
        }
    }

    /// The queue role stays away: whoever waits for an id, or with a message, is told so.
    @Test func aQueueRoleThatStaysAwayIsNotWaitedForForEver() async throws {
        var limits = HandOffLimits()
        limits.reconnect = .milliseconds(100)
        let failures = try await withHandOff(limits: limits) { handOff, _, queue -> [HandOffFailure?] in
            let id = try await handOff.reserveQueueID()
            shutdown(queue, CInt(SHUT_RDWR))
            while handOff.isConnected { try await handOff.loop.scheduleTask(in: .milliseconds(1)) {}.futureResult.get() }
            var failures: [HandOffFailure?] = [nil, nil, nil]
            do throws(HandOffFailure) { _ = try await handOff.reserveQueueID() } catch { failures[0] = error }
            do throws(HandOffFailure) { try await handOff.begin(id, FrameTests.envelope).commit() } catch { failures[1] = error }
            let large = handOff.begin(id, FrameTests.envelope)
            do throws(HandOffFailure) { try await large.write(ByteBuffer(repeating: 0x61, count: 200_000)) } catch { failures[2] = error }
            return failures
        }
        #expect(failures == Array(repeating: .unavailable("the queue role does not answer"), count: 3))
    }

    /// It is there, and does not answer; later it does, and goes on to serve.
    @Test func aQueueRoleThatDoesNotAnswerIsNotWaitedForForEver() async throws {
        var limits = HandOffLimits()
        limits.answer = .milliseconds(200)
        let (failure, served) = try await withHandOff(limits: limits) { handOff, intake, _ -> (HandOffFailure?, Bool) in
            intake.state.withLock { $0.answers = false }
            var failure: HandOffFailure?
            do throws(HandOffFailure) {
                try await handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope).commit()
            } catch { failure = error }
            intake.answer()
            try await handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope).commit()
            return (failure, handOff.isConnected)
        }
        #expect(failure == .unavailable("the queue role does not answer") && served)
    }

    @Test func anIDThatWasNotLeasedEndsTheConnection() async throws {
        await #expect(throws: HandOffFailure.self) {
            try await withHandOff { handOff, _, _ in
                _ = try await handOff.reserveQueueID()
                try await handOff.begin(QueueID(rawValue: 1 << 40), FrameTests.envelope).commit()
            }
        }
    }

    /// A small message whose session began before a restart of the queue role goes to the new one; of a large one the first part is lost, so
    /// it fails, and does not spoil the new connection for the others.
    @Test(arguments: [10, 200_000], [true, false]) func aMessageAcrossARestart(size: Int, endIsNoticed: Bool) async throws {
        let content = ByteBuffer(repeating: 0x61, count: size)
        let (failure, stored) = try await withHandOff { handOff, intake, queue -> (HandOffFailure?, Bool) in
            let early = handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope)
            try await early.write(content)
            if endIsNoticed { shutdown(queue, CInt(SHUT_RDWR)) }
            intake.restart()
            var ends: [CInt] = [-1, -1]
            guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0 else { return (nil, false) }
            HandOffServer.serve(ends[1], intake: intake, on: handOff.loop.next())
            handOff.attach(ends[0])
            var failure: HandOffFailure?
            // Leased on the new connection, so that it is there.
            var id = try await handOff.reserveQueueID()
            while id.rawValue < 1000 + 2048 { id = try await handOff.reserveQueueID() }
            do throws(HandOffFailure) { try await early.commit() } catch { failure = error }
            let late = handOff.begin(id, FrameTests.envelope)
            try await late.write(content)
            try await late.commit()
            return (failure, intake.state.withLock { $0.messages[id]?.1 == content })
        }
        #expect((failure == nil) == (size == 10))
        #expect(stored)
    }

    /// The queue role is replaced: what was begun is finished by the old one, what is new waits for the new one, and nothing fails.
    @Test(arguments: [10, 200_000]) func nothingFailsWhenTheQueueRoleIsReplaced(size: Int) async throws {
        let content = ByteBuffer(repeating: 0x61, count: size)
        let outcome = try await withHandOff { handOff, intake, _ -> [Bool] in
            let connections = HandOffConnections()
            var ends: [CInt] = [-1, -1]
            guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0 else { return [] }
            connections.add(HandOffServer.serve(ends[1], intake: intake, on: handOff.loop.next()))
            handOff.attach(ends[0])
            var earlyID = try await handOff.reserveQueueID()
            while earlyID.rawValue < 1000 + 2048 { earlyID = try await handOff.reserveQueueID() }
            let early = handOff.begin(earlyID, FrameTests.envelope)
            try await early.write(content)
            let drained = Thread.detached { connections.drain(seconds: 20) }
            // The next one comes a moment later; until then there is nowhere to go.
            while handOff.isConnected { try await handOff.loop.scheduleTask(in: .milliseconds(5)) {}.futureResult.get() }
            intake.restart()
            guard unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0 else { return [] }
            HandOffServer.serve(ends[1], intake: intake, on: handOff.loop.next())
            attachSoon(ends[0], handOff)
            try await early.commit()
            let lateID = try await handOff.reserveQueueID()
            let late = handOff.begin(lateID, FrameTests.envelope)
            try await late.write(content)
            try await late.commit()
            drained.wait()
            return intake.state.withLock { state in [earlyID, lateID].map { state.messages[$0]?.1 == content } }
        }
        #expect(outcome == [true, true])
    }

    private final class Arrivals {
        var arriving = 0
        var most = 0
        var ended = 0
        var failed = 0
    }

    /// More large messages than may arrive at the same time wait for their turn, on this connection or on the next.
    @Test(arguments: [false, true]) func largeMessagesWaitForTheirTurn(isReplaced: Bool) async throws {
        let content = ByteBuffer(repeating: 0x61, count: 200_000)
        var limits = HandOffLimits()
        limits.openMessages = 2
        let (seen, stored) = try await withHandOff(limits: limits) { handOff, intake, _ -> ([Int], Int) in
            let loop = handOff.loop
            let connections = HandOffConnections()
            if isReplaced {
                var ends: [CInt] = [-1, -1]
                try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
                connections.add(HandOffServer.serve(ends[1], intake: intake, on: loop.next()))
                handOff.attach(ends[0])
            }
            var ids: [QueueID] = []
            // Leased on the last connection, so that it is there.
            while ids.count < 8 || isReplaced && ids[ids.count - 1].rawValue < 1000 + 2048 + 8 {
                ids.append(try await handOff.reserveQueueID())
            }
            let arrivals = Arrivals()
            for (number, id) in ids.suffix(8).enumerated() {
                let bound = NIOLoopBound((handOff, arrivals), eventLoop: loop)
                startLoopTask(on: LoopExecutor(loop)) {
                    let (handOff, arrivals) = bound.value
                    let transfer = handOff.begin(id, FrameTests.envelope)
                    do throws(HandOffFailure) {
                        try await transfer.write(content)
                        arrivals.arriving += 1
                        arrivals.most = max(arrivals.most, arrivals.arriving)
                        try? await loop.scheduleTask(in: .milliseconds(20)) {}.futureResult.get()
                        arrivals.arriving -= 1
                        if number % 3 == 0 { transfer.abort() } else { try await transfer.commit() }
                    } catch {
                        arrivals.failed += 1
                    }
                    arrivals.ended += 1
                }
            }
            var drained: Thread?
            if isReplaced {
                drained = Thread.detached { connections.drain(seconds: 20) }
                while handOff.isConnected { try await loop.scheduleTask(in: .milliseconds(1)) {}.futureResult.get() }
                intake.restart()
                var ends: [CInt] = [-1, -1]
                try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
                HandOffServer.serve(ends[1], intake: intake, on: loop.next())
                attachSoon(ends[0], handOff)
            }
            for _ in 0..<2_000 where arrivals.ended < 8 { try await loop.scheduleTask(in: .milliseconds(10)) {}.futureResult.get() }
            drained?.wait()
            let whole = intake.state.withLock { $0.messages.values.filter { $0.1 == content }.count }
            return ([arrivals.most, arrivals.ended, arrivals.failed], whole)
        }
        // Two on each connection, if there was another one.
        #expect(seen[0] == 2 || isReplaced && seen[0] <= 4)
        #expect(seen[1...] == [8, 0] && stored == 5)
    }

    /// A commit that waits for its answer when the new connection comes, before the end of the old one has been noticed.
    @Test func aNewConnectionFailsTheCommitsOfTheOldOne() async throws {
        await #expect(throws: HandOffFailure.self) {
            try await withHandOff { handOff, intake, _ in
                intake.state.withLock { $0.answers = false }
                let transfer = handOff.begin(try await handOff.reserveQueueID(), FrameTests.envelope)
                var ends: [CInt] = [-1, -1]
                try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
                let fresh = ends[0]
                HandOffServer.serve(ends[1], intake: intake, on: handOff.loop)
                attachSoon(fresh, handOff)
                try await transfer.commit()
            }
        }
    }
}
