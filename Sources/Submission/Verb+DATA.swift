import Cleanup
import HandOff
import MailLog
import NIOCore
import Notices
import Resolver
import Restrictions
import SMTPCore
import TLS

extension Session {
    /// DATA (RFC 5321 section 4.1.1.4). 250 is sent only when the message is on stable storage.
    func data(_ command: CommandLine) async -> Outcome {
        guard command.count == 1 else { return .reply(Reply(501, .init(5, 5, 4), "Syntax: DATA")) }
        let decision = await rejection(at: .data, state: "DATA", recipient: onlyRecipient)
        if let reply = decision.rejection { return .reply(reply) }
        await send(Reply(354, nil, "End data with <CR><LF>.<CR><LF>"))
        guard let reception = beginReception(framing: .dot) else {
            endTransaction()
            return .reply(Self.internalError)
        }
        guard await receive(reception) else {
            logMessageIDs(reception)
            reception.abort()
            return Outcome(reply: nil, succeeded: false)
        }
        lastState = "END-OF-MESSAGE"
        let reply = await conclude(reception, isChunked: false)
        endTransaction()
        if reply.isPositive {
            errorCount = 0
            junkCount = 0
            // Compared with smtpd(8): what went wrong before a message that was taken is told to nobody.
            transcript?.events = []
        }
        return .reply(reply)
    }

    static let internalError = Reply(451, .init(4, 3, 0), "Error: internal error 1")

    /// Opens the message with the headers that go on top.
    func beginReception(framing: DataDecoder.Framing) -> MessageReception? {
        guard let transaction else { return nil }
        let lineEnds: DataDecoder.LineEnds = allowsBareNewline ? .lenient : .strict
        let decoder = DataDecoder(lineEnds: lineEnds, replacesStrayCR: policy.content.replacesStrayCR, framing: framing)
        guard let id = transaction.queueID else {
            let filter = HeaderFilter(policy: policy.content.headers, completion: nil, marksMailboxLine: framing == .dot)
            return MessageReception(decoder: decoder, filter: filter, transfer: nil, sizeLimit: 0, memory: service.registry.bodyMemory)
        }
        let now = MailTime.now()
        var completion: HeaderCompletion?
        if transaction.completesHeaders {
            completion = HeaderCompletion(
                queueID: id,
                host: policy.host,
                sender: transaction.envelopeSender,
                date: now,
                undisclosedRecipients: policy.content.undisclosedRecipients
            )
        }
        let rewriting = headerRewriting(transaction)
        let reception = MessageReception(
            decoder: decoder,
            filter: HeaderFilter(
                policy: policy.content.headers,
                completion: completion,
                rewritesAddresses: rewriting != nil,
                marksMailboxLine: framing == .dot
            ),
            rewriting: rewriting,
            transfer: transaction.isDiscarded ? nil : handOff.begin(id, envelope(transaction)),
            sizeLimit: policy.limits.messageSize,
            memory: service.registry.bodyMemory
        )
        for header in transaction.prependedHeaders { reception.writeTop { $0.writeString("\(header)\r\n") } }
        let received = receivedHeader(transaction, id, now)
        reception.writeTop { received.write(into: &$0) }
        return reception
    }

    /// nil where the addresses of headers stay as they are.
    private func headerRewriting(_ transaction: Transaction) -> HeaderRewriting? {
        let content = policy.content
        if !transaction.isLocal, content.remoteHeaderDomain.isEmpty { return nil }
        return HeaderRewriting(
            router: service.router,
            maps: content.maps,
            remoteDomain: transaction.isLocal ? nil : content.remoteHeaderDomain,
            tokenLimit: content.addressTokenLimit
        )
    }

    /// Reads the content to its end. Returns false when the client was lost.
    private func receive(_ reception: MessageReception) async -> Bool {
        let start = NIODeadline.now()
        while true {
            if await reception.take(&feeder.input) { return true }
            lastState = "DATA (\(reception.sizeOfLines) bytes)"
            guard await awaitContent(until: policy.deadline.ofContent(start: start, received: reception.size)) else { return false }
        }
    }

    /// Waits for more of a message's content. Returns false when the client was lost, or too slow.
    func awaitContent(until deadline: NIODeadline) async -> Bool {
        await flush()
        if isLost { return false }
        while feeder.input.readableBytes == 0 {
            if feeder.hasEnded {
                connectionLost()
                return false
            }
            if NIODeadline.now() >= deadline {
                await timedOut()
                return false
            }
            await feeder.wait(until: deadline)
        }
        return true
    }

    /// The content is complete: refuse it, or commit it.
    func conclude(_ reception: MessageReception, isChunked: Bool) async -> Reply {
        if reception.sawBareLineFeed, !allowsBareNewline { sawBareLineFeed = true }
        await reception.finish()
        for text in reception.warnings { cleanupLog.warning("\(queueName): \(text)") }
        logMessageIDs(reception)
        if let refusal = refusal(of: reception) {
            reception.abort()
            return refusal
        }
        let decision = await rejection(at: .endOfData, state: "END-OF-MESSAGE", recipient: onlyRecipient)
        if let reply = decision.rejection {
            reception.abort()
            return reply
        }
        if !decision.actions.isEmpty, let transaction { reception.transfer?.amend(envelope(transaction)) }
        let size = isChunked ? " \(reception.size) bytes" : ""
        let success = Reply(250, .init(2, 0, 0), "Ok:\(size) queued as \(queueName)")
        guard let transfer = reception.transfer, transaction?.isDiscarded != true else {
            reception.abort()
            return success
        }
        do throws(HandOffFailure) {
            if let failure = reception.failure { throw failure }
            try await transfer.commit()
        } catch {
            return failureReply(error)
        }
        return success
    }

    private func refusal(of reception: MessageReception) -> Reply? {
        if reception.sawBareLineFeed, !allowsBareNewline, policy.bareNewline.mode == .reject {
            logEvent("reject", "END-OF-MESSAGE", "bare <LF> received", recipient: nil)
            return bareLineFeedReply(closes: false)
        }
        if reception.isTooLarge {
            log.warning("\(queueName): queue file size limit exceeded")
            return VerbTable.tooBig
        }
        if reception.exceedsHopLimit {
            cleanupLog.warning("\(queueName): message rejected: hopcount exceeded")
            return Reply(554, .init(5, 4, 0), "Error: too many hops")
        }
        return nil
    }

    /// What rules of DATA and the end of data may know: with several recipients, none.
    var onlyRecipient: Address? {
        guard let transaction, transaction.recipients.count == 1 else { return nil }
        return transaction.firstRecipient
    }

    var cleanupLog: MailLog { log.with(tag: service.cleanupTag) }

    func logMessageIDs(_ reception: MessageReception) {
        guard reception.transfer != nil else { return }
        for message in reception.messageIDs {
            cleanupLog.info("\(queueName): \(message.isResent ? "resent-" : "")message-id=\(message.value)")
        }
    }

    @inline(never)
    private func envelope(_ transaction: Transaction) -> Envelope {
        var origin = MessageOrigin()
        origin.clientName = facts.peerName.name
        origin.clientAddress = addressText
        origin.heloName = facts.heloName ?? ""
        origin.protocolName = protocolName
        if let forwarded {
            origin.clientName = forwarded.name
            origin.clientAddress = forwarded.address ?? "unknown"
            origin.heloName = forwarded.helo
            origin.protocolName = forwarded.protocolName
        }
        origin.saslMethod = facts.saslMethod ?? ""
        origin.saslUsername = facts.saslUsername ?? ""
        var duplicates = DuplicateFilter(limit: policy.content.duplicateFilterLimit, withOriginal: policy.content.tellsOriginalsApart)
        let recipients = transaction.redirected ?? duplicates.unique(transaction.recipients + transaction.copies)
        var envelope = Envelope(sender: transaction.envelopeSender, recipients: recipients, body: transaction.body, origin: origin)
        envelope.needsUTF8 = transaction.isUTF8 || policy.flagsAllUTF8
        envelope.returns = transaction.returns
        envelope.envelopeID = transaction.envelopeID
        envelope.verpDelimiters = transaction.verpDelimiters
        envelope.isHeld = transaction.isHeld
        envelope.contentFilter = transaction.filter ?? policy.content.filter
        return envelope
    }

    /// The `with` clause (RFC 3848; RFC 6531 section 4.3).
    private func withProtocol(_ transaction: Transaction, isSecure: Bool) -> String {
        let name = transaction.isUTF8 ? "UTF8SMTP" : protocolName
        return isExtended ? name + (isSecure ? "S" : "") + (facts.saslUsername != nil ? "A" : "") : name
    }

    private func receivedHeader(_ transaction: Transaction, _ id: QueueID, _ now: MailTime) -> ReceivedHeader {
        let isSecure = tls != nil
        var header = ReceivedHeader(
            heloName: facts.heloName ?? facts.peerName.name,
            clientName: facts.peerName.name,
            clientAddress: facts.isAddressUnknown ? nil : clientAddress,
            host: policy.host,
            product: policy.mailName,
            protocolName: withProtocol(transaction, isSecure: isSecure),
            queueID: id,
            date: now
        )
        if policy.tls.inReceivedHeader, let tls {
            header.tlsLines = tls.receivedHeaderLines(askedForCertificate: policy.tls.asksClientCertificate)
        }
        if policy.sasl.inReceivedHeader { header.authenticatedSender = facts.saslUsername }
        if transaction.recipients.count == 1 { header.recipient = transaction.firstRecipient?.description }
        header.hidesClient = policy.content.hidesClient
        return header
    }
}
