import NIOCore
import NIOPosix
import Notices
import SMTPCore
import Spool

/// One message over one connection: MAIL, RCPT, DATA, content (RFC 5321 section 3.3; RFC 2033 for LMTP). Confined to its loop.
struct SMTPTransaction {
    let session: ClientSession
    let attempt: DeliveryAttempt
    /// Another host can be tried: what is only temporary is not final.
    let hasAlternative: Bool
    let files: NIOThreadPool

    var settings: ClientSettings { session.settings }
    var connection: ClientConnection { session.connection }
    var job: DeliveryJob { attempt.delivery.job }

    /// How it went, as far as the caller must know.
    enum Ending {
        case done
        /// A connection kept from an earlier message turned out to be dead before the server said anything: try a fresh one.
        case staleConnection
    }

    func run() async -> Ending {
        if let failure = sizeFailure {
            fail(attempt.open, failure)
            return .done
        }
        let positions = await withoutThoseThatNeedUTF8(attempt.open)
        if positions.isEmpty { return .done }
        let reset = session.needsReset
        session.needsReset = false
        let accepted: [Int]
        switch session.capabilities.pipelining ? await openPipelined(positions, reset: reset) : await openStepwise(positions, reset: reset)
        {
        case .stale: return .staleConnection
        case .closed: return .done
        case .ready(let recipients): accepted = recipients
        }
        await transfer(to: accepted)
        return .done
    }

    // MARK: - Envelope

    private enum Opening {
        case ready([Int])
        case closed
        case stale
    }

    /// The commands travel in one flight (RFC 2920), DATA included.
    private func openPipelined(_ positions: [Int], reset: Bool) async -> Opening {
        var flight = connection.channel.allocator.buffer(capacity: 128 + positions.count * 64)
        if reset { flight.writeStaticString("RSET\r\n") }
        writeMail(to: &flight)
        for position in positions { writeRcpt(position, to: &flight) }
        flight.writeStaticString("DATA\r\n")
        connection.send(flight)

        var phase = reset ? Phase.reset : .mail
        var isRefused = false
        do throws(ConversationFailure) {
            if reset { _ = try await connection.reply(within: settings.timeouts.rset) }
            phase = .mail
            let mail = try await connection.reply(within: settings.timeouts.mail)
            if isStale(mail) { return .stale }
            // As good as 250, but not what SMTP has here.
            if mail.isPositive, mail.code >= 300 { connection.note(.protocol, settings.notices) }
            if !mail.isPositive {
                // At once: a server that refuses may close before it answers the rest of the flight, and this is the reason that counts.
                isRefused = true
                fail(positions, session.said(mail, inReplyTo: "MAIL FROM"))
            }
            phase = .rcpt
            var accepted: [Int] = []
            for position in positions {
                let reply = try await connection.reply(within: settings.timeouts.rcpt)
                if mail.isPositive, judge(reply, position) { accepted.append(position) }
            }
            phase = .data
            let data = try await connection.reply(within: settings.timeouts.dataInit)
            return await begin(data, accepted)
        } catch {
            if phase == .mail || phase == .reset, isStale(error) { return .stale }
            let failure = session.broken(error, during: phase)
            if !isRefused { fail(positions, failure) }
            return .closed
        }
    }

    private func openStepwise(_ positions: [Int], reset: Bool) async -> Opening {
        var phase = Phase.reset
        do throws(ConversationFailure) {
            if reset {
                connection.send("RSET\r\n")
                _ = try await connection.reply(within: settings.timeouts.rset)
            }
            phase = .mail
            let mail = try await exchange(within: settings.timeouts.mail) { writeMail(to: &$0) }
            if isStale(mail) { return .stale }
            // As good as 250, but not what SMTP has here.
            if mail.isPositive, mail.code >= 300 { connection.note(.protocol, settings.notices) }
            guard mail.isPositive else {
                fail(positions, session.said(mail, inReplyTo: "MAIL FROM"))
                return .closed
            }
            phase = .rcpt
            var accepted: [Int] = []
            for position in positions where !session.isSpent {
                let reply = try await exchange(within: settings.timeouts.rcpt) { writeRcpt(position, to: &$0) }
                if judge(reply, position) { accepted.append(position) }
            }
            guard !accepted.isEmpty, !session.isSpent else {
                session.needsReset = true
                failAfterEnd(positions)
                return .closed
            }
            phase = .data
            let data = try await exchange(within: settings.timeouts.dataInit) { $0.writeStaticString("DATA\r\n") }
            return await begin(data, accepted)
        } catch {
            if phase == .mail || phase == .reset, isStale(error) { return .stale }
            fail(positions, session.broken(error, during: phase))
            return .closed
        }
    }

    /// Looks at the reply to DATA.
    private func begin(_ data: ServerReply, _ accepted: [Int]) async -> Opening {
        if data.code == 354, !accepted.isEmpty { return .ready(accepted) }
        session.needsReset = true
        if data.code == 354 {
            // The server wants a message for nobody (RFC 2920 section 3.1): give it an empty one; whatever it says, nobody was accepted.
            connection.send(".\r\n")
            do throws(ConversationFailure) { _ = try await connection.reply(within: settings.timeouts.dataDone) } catch {
                session.isSpent = true
            }
        } else if !accepted.isEmpty {
            fail(accepted, session.said(data, inReplyTo: "DATA"))
        }
        return .closed
    }

    private func exchange(within timeout: TimeAmount, _ write: (inout ByteBuffer) -> Void) async throws(ConversationFailure) -> ServerReply
    {
        var buffer = connection.channel.allocator.buffer(capacity: 128)
        write(&buffer)
        connection.send(buffer)
        return try await connection.reply(within: timeout)
    }

    private func writeMail(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("MAIL FROM:<")
        buffer.writeString(attempt.delivery.sender.description)
        buffer.writeStaticString(">")
        if session.capabilities.size {
            buffer.writeStaticString(" SIZE=")
            buffer.writeString(String(job.content.size))
        }
        if session.capabilities.eightBitMIME {
            switch job.envelope.body {
            case .eightBitMIME: buffer.writeStaticString(" BODY=8BITMIME")
            case .sevenBit: buffer.writeStaticString(" BODY=7BIT")
            case .unspecified: break
            }
        }
        if session.capabilities.dsn {
            if !job.envelope.envelopeID.isEmpty { buffer.writeString(" ENVID=\(XText.word(job.envelope.envelopeID))") }
            if let value = job.envelope.returns.parameter { buffer.writeString(" RET=\(value)") }
        }
        if job.envelope.needsUTF8, session.capabilities.smtpUTF8 { buffer.writeStaticString(" SMTPUTF8") }
        buffer.writeStaticString("\r\n")
    }

    private func writeRcpt(_ position: Int, to buffer: inout ByteBuffer) {
        buffer.writeStaticString("RCPT TO:<")
        let recipient = attempt.delivery.recipient(position)
        buffer.writeString(recipient.address.description)
        buffer.writeStaticString(">")
        if session.capabilities.dsn {
            buffer.writeString(" ORCPT=\(OriginalRecipient.encoded(recipient.reportedOriginal))")
            if !recipient.notify.isEmpty { buffer.writeString(" NOTIFY=\(recipient.notify.parameter)") }
        }
        buffer.writeStaticString("\r\n")
    }

    private var sizeFailure: DeliveryFailure? {
        let limit = session.capabilities.sizeLimit
        guard limit > 0, job.content.size > limit else { return nil }
        return DeliveryFailure(
            EnhancedStatusCode(5, 3, 4),
            "message size \(job.content.size) exceeds size limit \(limit) of server \(session.endpoint.label)",
            remoteMTA: session.endpoint.host
        )
    }

    // MARK: - Content

    private func transfer(to accepted: [Int]) async {
        var phase = Phase.body
        do throws(ConversationFailure) {
            try await sendContent()
            phase = .endOfData
            // LMTP answers for each recipient (RFC 2033 section 4.2), SMTP once for all.
            if settings.dialect == .lmtp {
                for position in accepted { conclude([position], try await connection.reply(within: settings.timeouts.dataDone)) }
            } else {
                conclude(accepted, try await connection.reply(within: settings.timeouts.dataDone))
            }
        } catch {
            fail(accepted, session.broken(error, during: phase))
            // Nothing may follow a message that was cut off: the server must not take the next bytes for its rest.
            connection.close()
        }
    }

    private func conclude(_ positions: [Int], _ reply: ServerReply) {
        guard (200..<300).contains(reply.code) else { return fail(positions, session.said(reply, inReplyTo: "end of DATA")) }
        let result = RecipientResult.relayed(reply, to: session.endpoint.host, noticeHandedOn: session.capabilities.dsn)
        for position in positions { settle(position, result) }
    }

    // MARK: - Verdicts

    /// Whether the recipient was accepted; a refusal is its verdict.
    private func judge(_ reply: ServerReply, _ position: Int) -> Bool {
        if (200..<300).contains(reply.code) { return true }
        fail([position], session.said(reply, inReplyTo: "RCPT TO"))
        return false
    }

    func fail(_ positions: [Int], _ failure: DeliveryFailure) {
        if hasAlternative, !failure.isPermanent { return attempt.note(failure, relay: session.endpoint.labelWithPort) }
        let result = RecipientResult.failed(failure)
        for position in positions { settle(position, result) }
    }

    /// A 421 in the middle ends the session for those not asked about as well.
    private func failAfterEnd(_ positions: [Int]) {
        guard session.isSpent else { return }
        fail(positions, session.broken(.lostConnection, during: .rcpt))
    }

    private func settle(_ position: Int, _ result: RecipientResult) {
        attempt.settle(position, result, relay: session.endpoint.labelWithPort, connectionUse: session.uses)
    }

    private func isStale(_ reply: ServerReply) -> Bool { session.uses > 1 && reply.code == 421 }

    private func isStale(_ failure: ConversationFailure) -> Bool { session.uses > 1 && failure != .timedOut }
}
