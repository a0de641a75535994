import MailLog
import NIOCore
import Notices
import SMTPCore

extension Session {
    /// Queues a reply; it leaves with the others when no further command waits (RFC 2920). From `smtpd_soft_error_limit` on, each reply
    /// is delayed by `smtpd_error_sleep_time`.
    func send(_ reply: Reply) async {
        if errorCount >= policy.limits.softErrors, policy.limits.errorSleep > .zero { await pause(policy.limits.errorSleep) }
        var answer = policy.softBounce ? reply.softened : reply
        if answer.code >= 400, !policy.rejectFooter.isEmpty { answer = await withFooter(answer, of: reply) }
        output.writeReply(answer)
        transcript?.reply(answer)
        if answer.closes || answer.code == 421 || answer.code == 521 { isClosing = true }
    }

    /// Hands everything queued to the channel, and waits while the client does not read.
    func flush() async {
        writeOutput()
        let deadline = NIODeadline.now() + policy.timeout
        while !feeder.isWritable, !feeder.hasEnded {
            if NIODeadline.now() >= deadline {
                if !isLost { log.info("timeout after \(lastState) from \(clientText)") }
                transcript?.abortReason = "timeout"
                isLost = true
                isClosing = true
                return
            }
            await feeder.wait(until: deadline)
        }
    }

    /// The part of ``flush()`` that never waits.
    func writeOutput() {
        guard output.readableBytes > 0, !isLost else { return }
        feeder.write(output)
        // The channel has usually written it by now and let go of the storage, which is then used again.
        output.clear()
    }

    private func pause(_ duration: TimeAmount) async {
        writeOutput()
        let end = NIODeadline.now() + duration
        while NIODeadline.now() < end, !feeder.hasEnded { await feeder.wait(until: end) }
    }
}

extension Reply {
    /// `soft_bounce`: what would be permanent is temporary.
    var softened: Reply {
        guard isPermanentFailure else { return self }
        var reply = self
        reply.code -= 100
        if reply.status?.class == 5 { reply.status?.class = 4 }
        return reply
    }
}

extension ByteBuffer {
    /// The bytes of a reply, as ``Reply/wire`` has them, without building a string.
    mutating func writeReply(_ reply: Reply) {
        for (index, line) in reply.lines.enumerated() {
            writeDecimal(reply.code)
            writeInteger(index == reply.lines.count - 1 ? UInt8(ascii: " ") : UInt8(ascii: "-"))
            if let status = reply.status {
                writeDecimal(Int(status.class))
                writeInteger(UInt8(ascii: "."))
                writeDecimal(Int(status.subject))
                writeInteger(UInt8(ascii: "."))
                writeDecimal(Int(status.detail))
                writeInteger(UInt8(ascii: " "))
            }
            writeText(line)
            writeStaticString("\r\n")
        }
    }

    /// What a client said may stand in the text: a reply is one line of printable characters whatever that was (RFC 5321 section 4.2).
    private mutating func writeText(_ text: String) {
        guard text.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F }) else {
            writeString(text)
            return
        }
        writeBytes(text.utf8.map { $0 < 0x20 && $0 != 0x09 || $0 == 0x7F ? UInt8(ascii: "?") : $0 })
    }

    /// A number below 1000, not negative.
    private mutating func writeDecimal(_ value: Int) {
        if value >= 100 { writeInteger(UInt8(truncatingIfNeeded: 0x30 + value / 100 % 10)) }
        if value >= 10 { writeInteger(UInt8(truncatingIfNeeded: 0x30 + value / 10 % 10)) }
        writeInteger(UInt8(truncatingIfNeeded: 0x30 + value % 10))
    }
}
