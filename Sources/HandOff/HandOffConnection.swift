import NIOCore
import SMTPCore

/// The smtpd role's end of one connection to one queue role. Confined to its loop.
///
/// A message that has been begun on a connection is finished on it or fails with it. A queue role that is about to be replaced asks for
/// ``drain()``: what it has begun it finishes, what is new waits for the next one.
final class HandOffConnection {
    private let channel: any Channel
    private var outgoing = ByteBuffer()
    private var flushScheduled = false
    private var roomWaiters = WaiterList<Void>()
    private var commits: [QueueID: CheckedContinuation<HandOffResult?, Never>] = [:]
    /// Messages whose chunks go over this connection and that have neither been committed nor given up.
    private var unfinished: Set<QueueID> = []
    private var isDraining = false
    private(set) var isOpen = true

    init(_ channel: any Channel) { self.channel = channel }

    private var loop: any EventLoop { channel.eventLoop }

    /// Frames of one turn of the loop leave in one write.
    func send(_ frame: HandOffFrame) {
        frame.encode(into: &outgoing)
        guard !flushScheduled else { return }
        flushScheduled = true
        loop.assumeIsolated().execute { self.flush() }
    }

    private func flush() {
        flushScheduled = false
        guard isOpen, outgoing.readableBytes > 0 else { return outgoing.clear() }
        channel.writeAndFlush(outgoing, promise: nil)
        outgoing = channel.allocator.buffer(capacity: 4096)
    }

    /// Asks for mail to be tried, unless more than that already waits for the queue role: such requests are only worth what they cost.
    func flush(domain: String) -> Bool {
        guard isOpen, channel.isWritable, outgoing.readableBytes < HandOffFrame.wholeMessageLimit else { return false }
        send(.flush(domain: domain))
        return true
    }

    // MARK: Messages

    func begin(_ id: QueueID, _ envelope: Envelope) {
        unfinished.insert(id)
        send(.begin(id, envelope))
    }

    /// Sends a chunk once the socket takes more, so that a large message does not pile up here.
    func send(chunk: ByteBuffer, of id: QueueID) async throws(HandOffFailure) {
        if !channel.isWritable || outgoing.readableBytes >= HandOffFrame.wholeMessageLimit {
            if flushScheduled { flush() }
            while isOpen, !channel.isWritable {
                guard await roomWaiters.wait(on: loop, atMost: .seconds(300)) != nil else {
                    throw .unavailable("the queue role is blocked")
                }
            }
        }
        guard isOpen else { throw .unavailable("the queue role ended while the message was arriving") }
        send(.chunk(id, chunk))
    }

    /// Sends the frame that completes a message and waits for the verdict.
    func commit(_ id: QueueID, with frame: HandOffFrame) async throws(HandOffFailure) {
        guard isOpen else { throw .unavailable("the queue role ended while the message was arriving") }
        send(frame)
        unfinished.remove(id)
        let result = await withCheckedContinuation { commits[id] = $0 }
        switch result {
        case .stored: return
        case .insufficientStorage: throw .insufficientStorage
        case .writeError: throw .writeError("the queue role could not write the message")
        case nil: throw .unavailable("the queue role ended while the message was being stored")
        }
    }

    func abort(_ id: QueueID) {
        guard isOpen, unfinished.remove(id) != nil else { return }
        send(.abort(id))
        closeIfDrained()
    }

    func completed(_ results: [(id: QueueID, result: HandOffResult)]) {
        for (id, result) in results { commits.removeValue(forKey: id)?.resume(returning: result) }
        closeIfDrained()
    }

    // MARK: The end

    /// Closes once everything that has been begun is finished.
    func drain() {
        isDraining = true
        closeIfDrained()
    }

    private func closeIfDrained() {
        guard isDraining, isOpen, commits.isEmpty, unfinished.isEmpty else { return }
        flush()
        channel.close(promise: nil)
    }

    func close() { channel.close(promise: nil) }

    func becameWritable() { roomWaiters.resumeAll(()) }

    /// What was under way has failed.
    func closed() {
        isOpen = false
        let lost = commits
        commits = [:]
        for continuation in lost.values { continuation.resume(returning: nil) }
        roomWaiters.resumeAll(())
    }
}
