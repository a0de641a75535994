import NIOCore
import NIOPosix
import Notices
import SMTPCore
import Spool

extension SMTPTransaction {
    /// Sends the message, converted to seven bits where the server takes no more (RFC 6152 section 3; `disable_mime_output_conversion`).
    func sendContent() async throws(ConversationFailure) {
        var encoder = ContentEncoder(lineLengthLimit: settings.lineLengthLimit)
        var downgrade = settings.convertsEightBit && !session.capabilities.eightBitMIME ? MIMEDowngrade() : nil
        if let content = job.content.inMemory {
            connection.channel.write(encoder.encode(downgrade?.convert(content) ?? content), promise: nil)
        } else {
            var offset = 0
            while offset < job.content.size {
                let block = try await read(offset)
                guard block.readableBytes > 0 else { throw .contentUnreadable("unexpected end") }
                offset += block.readableBytes
                connection.channel.writeAndFlush(encoder.encode(downgrade?.convert(block) ?? block), promise: nil)
                try await connection.writable(within: settings.timeouts.dataTransfer)
            }
        }
        if let rest = downgrade?.finish(), rest.readableBytes > 0 { connection.channel.write(encoder.encode(rest), promise: nil) }
        connection.transcript?.command(".".utf8, .outgoing)
        connection.channel.writeAndFlush(ByteBuffer(staticString: encoder.terminator), promise: nil)
        if encoder.hasFolded { attempt.note("breaking line > \(settings.lineLengthLimit) bytes with <CR><LF>SPACE") }
    }

    private func read(_ offset: Int) async throws(ConversationFailure) -> ByteBuffer {
        let content = job.content
        do {
            return try await files.runIfActive { try content.read(offset: offset, length: min(65536, content.size - offset)) }
        } catch {
            throw .contentUnreadable("\(error)")
        }
    }

    /// A message that was declared SMTPUTF8 goes to a server without it only as far as nothing in it is beyond ASCII (RFC 6531 section 3.5):
    /// the others get their verdict here, before the server hears of them.
    func withoutThoseThatNeedUTF8(_ positions: [Int]) async -> [Int] {
        guard job.envelope.needsUTF8, !session.capabilities.smtpUTF8 else { return positions }
        let concernsAll: Bool
        do throws(ConversationFailure) {
            if job.envelope.sender.isBeyondASCII { concernsAll = true } else { concernsAll = try await isHeaderBeyondASCII() }
        } catch {
            fail(positions, ClientSession.describe(error, during: .mail, with: session.endpoint))
            return []
        }
        let refused = positions.filter { concernsAll || attempt.delivery.recipient($0).address.isBeyondASCII }
        guard !refused.isEmpty else { return positions }
        fail(
            refused,
            DeliveryFailure(EnhancedStatusCode(5, 6, 7), "SMTPUTF8 is required, but was not offered by host \(session.endpoint.label)")
        )
        return positions.filter { !refused.contains($0) }
    }

    /// Looks through the header blocks of the message and of all parts in it. What a report of ours returns counts for nothing: RFC 6533 lets it
    /// be encoded, and a report that is refused is lost.
    private func isHeaderBeyondASCII() async throws(ConversationFailure) -> Bool {
        var scan = MIMEDowngrade()
        let isReport = job.envelope.sender.isNull && job.envelope.origin.protocolName.isEmpty
        var isKnown: Bool { scan.hasHeaderBeyondASCII || isReport && scan.isOwnHeaderBeyondASCII != nil }
        if let content = job.content.inMemory { _ = scan.convert(content) }
        var offset = 0
        while job.content.inMemory == nil, offset < job.content.size, !isKnown {
            let block = try await read(offset)
            guard block.readableBytes > 0 else { throw .contentUnreadable("unexpected end") }
            offset += block.readableBytes
            _ = scan.convert(block)
        }
        _ = scan.finish()
        return isReport ? scan.isOwnHeaderBeyondASCII == true : scan.hasHeaderBeyondASCII
    }
}

extension Address {
    /// Needs SMTPUTF8 (RFC 6531 section 3.3).
    var isBeyondASCII: Bool { localPart.utf8.contains { $0 >= 0x80 } || domain?.utf8.contains { $0 >= 0x80 } == true }
}

extension Recipient {
    /// What reports and the next hop call the original recipient: as the sender said, else the address the client gave.
    var reportedOriginal: String { declaredOriginal.isEmpty ? OriginalRecipient.synthesized(original ?? address) : declaredOriginal }
}
