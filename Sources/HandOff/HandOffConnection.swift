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
    private var commits: [QueueID: (since: NIODeadline, continuation: CheckedContinuation<HandOffResult?, Never>)] = [:]
    private var commitsAreWatched = false
    /// Messages whose chunks go over this connection and that have neither been committed nor given up, with what their envelopes take.
    private var unfinished: [QueueID: Int] = [:]
    /// What their envelopes take.
    private var envelopesLength = 0
    private let limits: HandOffLimits
    private var beginWaiters = WaiterList<Void>()
    private var isDraining = false
    private(set) var isOpen = true

    init(_ channel: any Channel, _ limits: HandOffLimits) {
        self.channel = channel
        self.limits = limits
    }

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

    /// Begins a message once there is room for it among those that are arriving: the others go on, so it comes. False if this connection
    /// takes no new message any more.
    func begin(_ id: QueueID, _ envelope: Envelope) async throws(HandOffFailure) -> Bool {
        let length = envelope.encodedLength
        var isInTurn = beginWaiters.isEmpty
        while isOpen, !isDraining, !(isInTurn && hasRoom(length)) {
            guard await beginWaiters.wait(on: loop, atMost: .seconds(300)) != nil else {
                throw .unavailable("too many large messages are arriving at the same time")
            }
            isInTurn = true
        }
        guard isOpen, !isDraining else { return false }
        unfinished[id] = length
        envelopesLength += length
        send(.begin(id, envelope))
        beginNext()
        return true
    }

    private func hasRoom(_ length: Int) -> Bool {
        unfinished.isEmpty || unfinished.count < limits.openMessages && envelopesLength + length <= HandOffFrame.openEnvelopesLimit
    }

    private func beginNext() {
        if hasRoom(0) { beginWaiters.resumeFirst(()) }
    }

    /// Whether the message had been begun.
    @discardableResult
    private func finished(_ id: QueueID) -> Bool {
        guard let length = unfinished.removeValue(forKey: id) else { return false }
        envelopesLength -= length
        beginNext()
        return true
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
        finished(id)
        watchCommits()
        let result = await withCheckedContinuation { commits[id] = (.now(), $0) }
        switch result {
        case .stored: return
        case .insufficientStorage: throw .insufficientStorage
        case .writeError: throw .writeError("the queue role could not write the message")
        case nil where isOpen: throw .unavailable("the queue role does not answer")
        case nil: throw .unavailable("the queue role ended while the message was being stored")
        }
    }

    /// A queue role that neither answers nor ends: clients are told before they give up by themselves (RFC 5321 section 4.5.3.2.6). One timer
    /// for all of them.
    private func watchCommits() {
        guard !commitsAreWatched else { return }
        commitsAreWatched = true
        loop.assumeIsolated().scheduleTask(in: .nanoseconds(limits.answer.nanoseconds / 8)) {
            self.commitsAreWatched = false
            let now = NIODeadline.now()
            let late = self.commits.filter { now - $0.value.since >= self.limits.answer }
            for (id, commit) in late {
                self.commits[id] = nil
                commit.continuation.resume(returning: nil)
            }
            if !self.commits.isEmpty { self.watchCommits() }
        }
    }

    func abort(_ id: QueueID) {
        guard isOpen, unfinished[id] != nil else { return }
        send(.abort(id))
        finished(id)
        closeIfDrained()
    }

    func completed(_ results: [(id: QueueID, result: HandOffResult)]) {
        for (id, result) in results { commits.removeValue(forKey: id)?.continuation.resume(returning: result) }
        closeIfDrained()
    }

    // MARK: The end

    /// Closes once everything that has been begun is finished.
    func drain() {
        isDraining = true
        beginWaiters.resumeAll(())
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
        for (_, continuation) in lost.values { continuation.resume(returning: nil) }
        roomWaiters.resumeAll(())
        beginWaiters.resumeAll(())
    }
}
