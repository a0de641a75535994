import Foundation
import Glibc
import NIOCore
import NIOPosix
import SMTPCore
import Synchronization
import Testing

@testable import HandOff

/// What a smtpd role that somebody else has taken over can send to the queue role.
@Suite struct HostilePeerTests {
    /// The smtpd role's end of a connection, byte by byte.
    private final class Peer {
        let intake: MemoryIntake
        private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        private let descriptor: CInt
        private let serving: EventLoopFuture<any Channel>
        private var input = ByteBuffer()

        init(leases: Bool = true) throws {
            var ends: [CInt] = [-1, -1]
            try #require(unsafe socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0, &ends) == 0)
            descriptor = ends[0]
            var limit = timeval(tv_sec: 30, tv_usec: 0)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            intake = MemoryIntake()
            intake.state.withLock { $0.leases = leases }
            serving = HandOffServer.serve(ends[1], intake: intake, on: group.next())
            _ = try serving.wait()
        }

        /// Nothing more is sent or received.
        func leave() { shutdown(descriptor, CInt(SHUT_RDWR)) }

        /// The other side has noticed.
        func awaitEnd() throws { try serving.wait().closeFuture.wait() }

        func end() throws {
            close(descriptor)
            try group.syncShutdownGracefully()
        }

        func send(_ frames: HandOffFrame...) { send(Self.bytes(frames)) }

        static func bytes(_ frames: [HandOffFrame]) -> ByteBuffer {
            var bytes = ByteBuffer()
            for frame in frames { frame.encode(into: &bytes) }
            return bytes
        }

        func send(_ bytes: ByteBuffer) {
            var rest = Array(buffer: bytes)[...]
            while !rest.isEmpty {
                let count = unsafe rest.withUnsafeBytes {
                    unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(truncatingIfNeeded: MSG_NOSIGNAL))
                }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }

        /// Bytes together with a descriptor.
        func send(_ bytes: [UInt8], passing passed: CInt) {
            var bytes = bytes
            var control = [UInt8](repeating: 0, count: 24)
            unsafe control.withUnsafeMutableBytes { space in
                unsafe space.storeBytes(of: 20, as: Int.self)
                unsafe space.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: CInt.self)
                unsafe space.storeBytes(of: CInt(SCM_RIGHTS), toByteOffset: 12, as: CInt.self)
                unsafe space.storeBytes(of: passed, toByteOffset: 16, as: CInt.self)
            }
            unsafe bytes.withUnsafeMutableBytes { content in
                unsafe control.withUnsafeMutableBytes { space in
                    var part = unsafe iovec(iov_base: content.baseAddress, iov_len: content.count)
                    unsafe withUnsafeMutablePointer(to: &part) { part in
                        var message = unsafe msghdr()
                        unsafe message.msg_iov = part
                        unsafe message.msg_iovlen = 1
                        unsafe message.msg_control = space.baseAddress
                        unsafe message.msg_controllen = space.count
                        _ = unsafe sendmsg(descriptor, &message, CInt(truncatingIfNeeded: MSG_NOSIGNAL))
                    }
                }
            }
        }

        /// The next frame; nil when the other side has closed.
        func receive() throws -> HandOffFrame? {
            while true {
                if let frame = try HandOffFrame.decode(from: &input) { return frame }
                var bytes = [UInt8](repeating: 0, count: 65_536)
                let count = unsafe recv(descriptor, &bytes, bytes.count, 0)
                guard count > 0 else {
                    #expect(count == 0 || errno == ECONNRESET, "no answer")
                    return nil
                }
                input.writeBytes(bytes[..<count])
            }
        }

        func lease() throws -> QueueID {
            send(.requestQueueIDs)
            guard case .queueIDs(let first, _)? = try receive() else { throw MalformedFrame() }
            return first
        }

        var isClosed: Bool { get throws { try receive() == nil } }
        var stored: Int { intake.state.withLock { $0.messages.count } }
    }

    private static let envelope = FrameTests.envelope
    private static let content = ByteBuffer(string: "x")

    /// Each is followed by nothing but the end of the connection; before it, one message is stored.
    enum Offence: CaseIterable {
        case usedTwice, begunTwice, begunAfterUse, usedAfterAbort, neverLeased, nextLease, earlierTwice, secondRequest
        case queuesOwnFrame, unknownKind, noKind, zeroLength, tooLong, shortEnvelope, shortID
    }

    @Test(arguments: Offence.allCases) func endsTheConnection(offence: Offence) throws {
        let peer = try Peer()
        let first = try peer.lease()
        peer.send(.message(first, Self.envelope, Self.content))
        guard case .completed(let results)? = try peer.receive() else { return #expect(Bool(false), "no answer") }
        #expect(results.map(\.id) == [first] && results.map(\.result) == [.stored])
        let second = QueueID(rawValue: first.rawValue + 1)
        func frame(_ length: UInt32, _ bytes: [UInt8]) -> ByteBuffer {
            var out = ByteBuffer(integer: length)
            out.writeBytes(bytes)
            return out
        }
        switch offence {
        case .usedTwice: peer.send(.message(first, Self.envelope, Self.content))
        case .begunTwice: peer.send(.begin(second, Self.envelope), .begin(second, Self.envelope))
        case .begunAfterUse: peer.send(.begin(first, Self.envelope))
        case .usedAfterAbort: peer.send(.begin(second, Self.envelope), .abort(second), .message(second, Self.envelope, Self.content))
        case .neverLeased: peer.send(.message(QueueID(rawValue: 1 << 40), Self.envelope, Self.content))
        case .nextLease: peer.send(.begin(QueueID(rawValue: first.rawValue + 2_048), Self.envelope))
        case .earlierTwice:
            let earlier = QueueID(rawValue: 7)
            peer.send(.message(earlier, Self.envelope, Self.content), .message(earlier, Self.envelope, Self.content))
        case .secondRequest:
            peer.intake.state.withLock { $0.leases = false }
            peer.send(.requestQueueIDs, .requestQueueIDs)
        case .queuesOwnFrame: peer.send(.completed([(first, .stored)]))
        case .unknownKind: peer.send(frame(1, [63]))
        case .noKind: peer.send(frame(1, [0]))
        case .zeroLength: peer.send(frame(0, []))
        case .tooLong: peer.send(frame(33 << 20, []))
        case .shortEnvelope: peer.send(frame(20, [2] + Array(repeating: 0, count: 19)))
        case .shortID: peer.send(frame(3, [4, 0, 0]))
        }
        while let answer = try peer.receive() {
            guard case .completed(let results) = answer else { return #expect(Bool(false), "\(answer)") }
            #expect(results.map(\.id) == [QueueID(rawValue: 7)])
        }
        #expect(peer.stored == (offence == .earlierTwice ? 2 : 1))
        try peer.end()
    }

    @Test func aCommitOfNothingIsRefused() throws {
        let peer = try Peer()
        let first = try peer.lease()
        peer.send(.chunk(first, Self.content), .commit(first), .abort(first))
        guard case .completed(let results)? = try peer.receive() else { return #expect(Bool(false), "no answer") }
        #expect(results.map(\.result) == [.writeError])
        #expect(peer.stored == 0)
        try peer.end()
    }

    /// A peer that begins one message after the other: those beyond the bound are refused for want of space, and others go on.
    @Test func messagesThatHaveBegunAreBounded() throws {
        let peer = try Peer()
        var ids: [QueueID] = []
        while ids.count <= HandOffFrame.openMessageLimit {
            let first = try peer.lease().rawValue
            ids += (0..<2_048).map { QueueID(rawValue: first + $0) }
        }
        let (last, begun) = (ids[ids.count - 1], ids[..<HandOffFrame.openMessageLimit])
        for id in begun { peer.send(.begin(id, Self.envelope)) }
        let refused = ids[HandOffFrame.openMessageLimit]
        peer.send(
            .begin(refused, Self.envelope),
            .chunk(refused, Self.content),
            .commit(refused),
            .message(last, Self.envelope, Self.content)
        )
        var results: [QueueID: HandOffResult] = [:]
        func receive(_ count: Int) throws {
            while results.count < count, case .completed(let some)? = try peer.receive() {
                for (id, result) in some { results[id] = result }
            }
        }
        try receive(2)
        #expect(results == [refused: .insufficientStorage, last: .stored])
        // One ends, and there is room for another.
        peer.send(.abort(begun[0]), .begin(ids[HandOffFrame.openMessageLimit + 1], Self.envelope))
        for id in begun.dropFirst() + [ids[HandOffFrame.openMessageLimit + 1]] { peer.send(.chunk(id, Self.content), .commit(id)) }
        try receive(2 + HandOffFrame.openMessageLimit)
        #expect(
            results.values.filter { $0 == .stored }.count == 1 + HandOffFrame.openMessageLimit
                && peer.stored == 1 + HandOffFrame.openMessageLimit
        )
        try peer.end()
    }

    /// Envelopes of very many recipients, of messages that have begun, and of small ones that wait for the disk.
    @Test func envelopesAreBounded() throws {
        let peer = try Peer()
        let first = try peer.lease().rawValue
        let recipient = Recipient(address: Address(localPart: String(repeating: "r", count: 60_000), domain: "example.org"))
        let envelope = Envelope(sender: .null, recipients: Array(repeating: recipient, count: 250))
        for number in UInt64(0)..<6 { peer.send(.begin(QueueID(rawValue: first + number), envelope)) }
        for number in UInt64(0)..<6 { peer.send(.commit(QueueID(rawValue: first + number))) }
        var results: [QueueID: HandOffResult] = [:]
        while results.count < 6, case .completed(let some)? = try peer.receive() { for (id, result) in some { results[id] = result } }
        #expect(results.values.filter { $0 == .stored }.count == 4 && results.values.filter { $0 == .insufficientStorage }.count == 2)

        peer.intake.state.withLock { $0.answers = false }
        nonisolated(unsafe) let sender = peer
        let sent = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            for number in 6..<12 { unsafe sender.send(.message(QueueID(rawValue: first + UInt64(number)), envelope, ByteBuffer())) }
            sent.signal()
        }
        try #require(sent.wait(timeout: .now() + 1) == .timedOut)
        #expect(peer.intake.state.withLock { $0.waiting.count } <= 2)
        peer.intake.answer()
        sent.wait()
        while results.count < 12, case .completed(let some)? = try peer.receive() { for (id, result) in some { results[id] = result } }
        #expect(results.values.filter { $0 == .stored }.count == 10)
        try peer.end()
    }

    enum Line: CaseIterable { case sender, recipient, domain, original, declaredOriginal, envelopeID, verp }

    /// What the relay would say to the next hop, or write into a report, as a line of its own.
    @Test(arguments: Line.allCases, ["\r", "\n", "\0"]) func linesAreNotForged(place: Line, character: String) throws {
        let peer = try Peer()
        let first = try peer.lease()
        let text = "a\(character)RCPT TO:<x>"
        var envelope = Self.envelope
        switch place {
        case .sender: envelope.sender = Address(localPart: text, domain: "example.org")
        case .recipient: envelope.recipients[1].address.localPart = text
        case .domain: envelope.recipients[1].address.domain = text
        case .original: envelope.recipients[1].original = Address(localPart: "x", domain: text)
        case .declaredOriginal: envelope.recipients[0].declaredOriginal = text
        case .envelopeID: envelope.envelopeID = text
        case .verp: envelope.verpDelimiters = VERPDelimiters(outer: UInt8(ascii: "+"), inner: character.utf8.first ?? 0)
        }
        let second = QueueID(rawValue: first.rawValue + 1)
        let third = QueueID(rawValue: first.rawValue + 2)
        peer.send(.message(first, envelope, Self.content), .begin(second, envelope), .chunk(second, Self.content), .commit(second))
        peer.send(.message(third, Self.envelope, Self.content))
        var results: [QueueID: HandOffResult] = [:]
        while results.count < 3, case .completed(let some)? = try peer.receive() { for (id, result) in some { results[id] = result } }
        #expect(results == [first: .writeError, second: .writeError, third: .stored] && peer.stored == 1)
        try peer.end()
    }

    /// A frame that comes in small pieces, after another one.
    @Test func aFrameInPieces() throws {
        let peer = try Peer()
        let first = try peer.lease()
        let content = ByteBuffer(repeating: 0x61, count: 3 << 20)
        var bytes = Peer.bytes([.abort(first), .message(first, Self.envelope, content), .requestQueueIDs])
        while let piece = bytes.readSlice(length: min(bytes.readableBytes, 1_021)), piece.readableBytes > 0 { peer.send(piece) }
        guard case .completed? = try peer.receive(), case .queueIDs? = try peer.receive() else { return #expect(Bool(false), "no answer") }
        #expect(peer.intake.state.withLock { $0.messages[first]?.1 } == content)
        try peer.end()
    }

    /// While the disk takes nothing, no more is read than a few megabytes: the rest waits at the sender.
    @Test(arguments: [false, true]) func messagesThatWaitForTheDiskAreBounded(leavesEarly: Bool) throws {
        let peer = try Peer()
        let first = try peer.lease().rawValue
        peer.intake.state.withLock { $0.answers = false }
        let content = ByteBuffer(repeating: 0x61, count: 60_000)
        let count = 400
        nonisolated(unsafe) let sender = peer
        let sent = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            for number in 0..<UInt64(count) { unsafe sender.send(.message(QueueID(rawValue: first + number), Self.envelope, content)) }
            sent.signal()
        }
        // 24 MB do not get through; what got through does not grow any more.
        try #require(sent.wait(timeout: .now() + 1) == .timedOut)
        let waiting = peer.intake.state.withLock { $0.waiting.count }
        #expect(waiting * 60_000 < 16 << 20, "\(waiting)")
        if leavesEarly {
            peer.leave()
            sent.wait()
            peer.intake.answer()
            try peer.awaitEnd()
            return try peer.end()
        }
        peer.intake.answer()
        sent.wait()
        var answered = 0
        while answered < count, case .completed(let results)? = try peer.receive() { answered += results.count }
        #expect(answered == count && peer.stored == count)
        try peer.end()
    }

    /// The same for the pieces of large messages.
    @Test func chunksThatWaitForTheDiskAreBounded() throws {
        let peer = try Peer()
        let ids = try [0, 1].map { QueueID(rawValue: try peer.lease().rawValue + $0) }
        peer.intake.state.withLock { $0.takes = false }
        let chunk = ByteBuffer(repeating: 0x61, count: 65_536)
        nonisolated(unsafe) let sender = peer
        let sent = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            for id in ids { unsafe sender.send(.begin(id, Self.envelope)) }
            for _ in 0..<200 { for id in ids { unsafe sender.send(.chunk(id, chunk)) } }
            for id in ids { unsafe sender.send(.commit(id)) }
            sent.signal()
        }
        try #require(sent.wait(timeout: .now() + 1) == .timedOut)
        #expect(peer.intake.state.withLock { $0.untaken.count } * 65_536 < 16 << 20)
        peer.intake.take()
        sent.wait()
        var answered = 0
        while answered < 2, case .completed(let results)? = try peer.receive() { answered += results.count }
        #expect(peer.intake.state.withLock { $0.messages.mapValues(\.1.readableBytes) } == [ids[0]: 200 * 65_536, ids[1]: 200 * 65_536])
        try peer.end()
    }

    /// The hand-off takes bytes. A descriptor that comes along is closed by the kernel.
    @Test func descriptorsAreNotTaken() throws {
        let peer = try Peer()
        var pipes: [CInt] = [-1, -1]
        try #require(unsafe pipe(&pipes) == 0)
        var request = ByteBuffer()
        HandOffFrame.requestQueueIDs.encode(into: &request)
        for _ in 0..<50 {
            peer.send(Array(buffer: request), passing: pipes[1])
            guard case .queueIDs? = try peer.receive() else { return #expect(Bool(false), "no answer") }
        }
        // Nobody else holds the writing end.
        close(pipes[1])
        var byte: UInt8 = 0
        #expect(unsafe read(pipes[0], &byte, 1) == 0)
        close(pipes[0])
        try peer.end()
    }
}
