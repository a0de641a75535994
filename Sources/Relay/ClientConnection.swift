import NIOCore
import NIOPosix
import Notices
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
    /// For a notice to the postmaster; nil unless `notify_classes` asks for one, as far as is known.
    var transcript: SessionTranscript?

    init(channel: any Channel, feeder: ReplyFeeder) {
        self.channel = channel
        self.feeder = feeder
    }

    var isOpen: Bool { !feeder.isClosed && feeder.failure == nil }

    func send(_ buffer: ByteBuffer) {
        if let transcript { Self.record(buffer, in: transcript) }
        channel.writeAndFlush(buffer, promise: nil)
    }

    @inline(never)
    private static func record(_ commands: ByteBuffer, in transcript: SessionTranscript) {
        for line in commands.readableBytesView.split(separator: UInt8(ascii: "\n")) { transcript.command(line, .outgoing) }
    }

    func send(_ line: String) { send(ByteBuffer(string: line)) }

    /// A line of an AUTH exchange.
    func send(secret line: String) {
        transcript?.secret(.outgoing)
        channel.writeAndFlush(ByteBuffer(string: line), promise: nil)
    }

    /// Something happened that the postmaster may want to hear of, once the session is over.
    func note(_ event: NoticeClasses, _ settings: NoticeSettings) {
        if transcript == nil {
            guard settings.recipient(of: event) != nil else { return }
            transcript = SessionTranscript(beginningWith: " (recorded from here on)")
        }
        transcript?.events.formUnion(event)
    }

    /// The next reply, waited for until `timeout` has passed.
    func reply(within timeout: TimeAmount) async throws(ConversationFailure) -> ServerReply {
        if let reply = takeReply() { return reply }
        let deadline = NIODeadline.now() + timeout
        while true {
            // Replies that came before the end of the connection still count.
            if let reply = takeReply() { return reply }
            try check(deadline)
            await feeder.wait(until: deadline)
        }
    }

    private func takeReply() -> ServerReply? {
        let reply = feeder.nextReply()
        if let reply { transcript?.reply(reply) }
        return reply
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
        transcript?.command("QUIT".utf8, .outgoing)
        let channel = channel
        channel.writeAndFlush(ByteBuffer(string: "QUIT\r\n")).whenComplete { _ in channel.close(promise: nil) }
        // A peer that does not read must not keep the connection.
        channel.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
    }

    func close() { channel.close(promise: nil) }
}
