import NIOCore
import NIOPosix
import SMTPCore

/// What a session was doing when its connection ended, in Postfix's words.
enum Phase: String, Sendable {
    case greeting = "receiving the initial server greeting"
    case helo = "performing the EHLO handshake"
    case lhlo = "performing the LHLO handshake"
    case startTLS = "performing the TLS handshake"
    case authentication = "performing SASL authentication"
    case mail = "sending MAIL FROM"
    case rcpt = "sending RCPT TO"
    case data = "sending DATA command"
    case body = "sending message body"
    case endOfData = "sending end of data -- message may be sent more than once"
    case reset = "sending RSET"
}

/// Why a conversation cannot go on.
enum ConversationFailure: Error, Sendable, Hashable {
    case lostConnection
    case timedOut
    /// Bytes that are no reply, or far too many of them.
    case protocolViolation(ReplyParser.Failure)
    /// The message's content could not be read from the disk.
    case contentUnreadable(String)
}

/// A connection to a server: sends bytes, waits for replies. Confined to its loop; one task at a time.
final class ClientConnection {
    let channel: any Channel
    let feeder: ReplyFeeder

    init(channel: any Channel, feeder: ReplyFeeder) {
        self.channel = channel
        self.feeder = feeder
    }

    var isOpen: Bool { !feeder.isClosed && feeder.failure == nil }

    func send(_ buffer: ByteBuffer) { channel.writeAndFlush(buffer, promise: nil) }

    func send(_ line: String) { send(ByteBuffer(string: line)) }

    /// The next reply, waited for until `timeout` has passed.
    func reply(within timeout: TimeAmount) async throws(ConversationFailure) -> ServerReply {
        if let reply = feeder.nextReply() { return reply }
        let deadline = NIODeadline.now() + timeout
        while true {
            // Replies that came before the end of the connection still count.
            if let reply = feeder.nextReply() { return reply }
            try check(deadline)
            await feeder.wait(until: deadline)
        }
    }

    /// Returns once little enough is waiting to be sent.
    func writable(within timeout: TimeAmount) async throws(ConversationFailure) {
        let deadline = NIODeadline.now() + timeout
        while !channel.isWritable {
            try check(deadline)
            await feeder.wait(until: deadline)
        }
        if feeder.isClosed { throw .lostConnection }
    }

    func check(_ deadline: NIODeadline) throws(ConversationFailure) {
        if let failure = feeder.failure { throw .protocolViolation(failure) }
        if feeder.isClosed { throw .lostConnection }
        if NIODeadline.now() >= deadline { throw .timedOut }
    }

    /// Says good-bye without waiting for the answer (`smtp_skip_quit_response`), then closes.
    func quit() {
        guard isOpen else { return close() }
        let channel = channel
        channel.writeAndFlush(ByteBuffer(string: "QUIT\r\n")).whenComplete { _ in channel.close(promise: nil) }
        // A peer that does not read must not keep the connection.
        channel.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
    }

    func close() { channel.close(promise: nil) }
}
