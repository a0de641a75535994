import MailLog
import NIOCore
import Notices
import Restrictions
import SMTPCore

/// Where the chunks of one message stand. A session has one from the first BDAT of a message until LAST, or what resets it.
final class ChunkedMessage {
    /// What the chunks are received into; nil before the first has been admitted, and after one was refused.
    var reception: MessageReception?
    /// A chunk was refused: the others are read and dropped, so that nothing in them is taken for a command.
    var hasFailed = false
}

extension Session {
    /// BDAT (RFC 3030): a chunk of content, counted instead of ended by a dot.
    ///
    /// Whatever the answer is, as many bytes are taken from the client as it announced: not one more, not one less. Where the number cannot
    /// be known the connection ends.
    func bdat(_ command: CommandLine) async -> Outcome {
        if hiddenKeywords.contains(.chunking) { return .reply(Reply(521, .init(5, 5, 1), "Error: command not implemented", closes: true)) }
        guard let chunk = ChunkCommand(command) else {
            let text = Self.printable(command.bytes.prefix(100))
            log.warning("\(queueName): malformed BDAT command syntax from \(clientText): \(text)")
            return .reply(Reply(521, .init(5, 5, 4), "Syntax: BDAT count [LAST]", closes: true))
        }
        if let refusal = await refusal(of: chunk) {
            chunkFailed()
            guard await skip(chunk.size) else { return Outcome(reply: nil, succeeded: false) }
            if chunk.isLast { endTransaction() }
            return .reply(refusal)
        }
        guard let reception = chunks?.reception, await receive(chunk, into: reception) else { return Outcome(reply: nil, succeeded: false) }
        if !chunk.isLast { return .reply(answer(chunk, reception)) }
        lastState = "END-OF-MESSAGE"
        chunks?.reception = nil
        let reply = await conclude(reception, isChunked: true)
        endTransaction()
        if reply.isPositive {
            errorCount = 0
            junkCount = 0
            // Compared with smtpd(8): what went wrong before a message that was taken is told to nobody.
            transcript?.events = []
        }
        return .reply(reply)
    }

    /// Skips the chunk of a BDAT that was refused before it was looked at: its bytes are no commands. False when the client was lost.
    func skipChunk(of command: CommandLine) async -> Bool {
        guard let chunk = ChunkCommand(command) else { return true }
        return await skip(chunk.size)
    }

    /// The checks before the chunk is read, in smtpd(8)'s order. Afterwards there is a reception.
    private func refusal(of chunk: ChunkCommand) async -> Reply? {
        if chunk.size == 0, !chunk.isLast {
            log.warning("\(queueName): null BDAT request from \(clientText)")
            return Reply(551, .init(5, 7, 1), "Null BDAT request")
        }
        if chunks?.hasFailed == true { return Reply(551, .init(5, 0, 0), "Discarded \(chunk.size) bytes after earlier error") }
        switch phase {
        case .recipients:
            if let reply = await openChunkedMessage() { return reply }
        case .mail: return VerbTable.noRecipients
        case .fresh, .greeted: return VerbTable.needRcpt
        case .chunks, .strayChunks: break
        }
        let limit = policy.limits.messageSize
        // Neither the sum nor the difference may overflow: the client chose one of the numbers.
        if limit > 0, chunk.size > limit - min(limit, chunks?.reception?.sizeOfLines ?? 0) {
            log.warning("\(queueName): BDAT request from \(clientText) exceeds message size limit")
            return Reply(552, .init(5, 3, 4), "Chunk exceeds message size limit")
        }
        return nil
    }

    /// What DATA does before its 354.
    private func openChunkedMessage() async -> Reply? {
        let decision = await rejection(at: .data, state: "BDAT", recipient: onlyRecipient)
        if let reply = decision.rejection { return reply }
        guard let reception = beginReception(framing: .count) else { return Self.internalError }
        let message = ChunkedMessage()
        message.reception = reception
        chunks = message
        return nil
    }

    private func chunkFailed() {
        let message = chunks ?? ChunkedMessage()
        message.reception?.abort()
        message.reception = nil
        message.hasFailed = true
        chunks = message
    }

    /// The answer to a chunk that has been read and is not the last.
    private func answer(_ chunk: ChunkCommand, _ reception: MessageReception) -> Reply {
        if reception.sawBareLineFeed, !allowsBareNewline {
            sawBareLineFeed = true
            if policy.bareNewline.mode == .reject {
                logEvent("reject", "BDAT content", "bare <LF> received", recipient: nil)
                chunkFailed()
                return bareLineFeedReply(closes: false)
            }
        }
        if reception.isTooLargeByLines {
            log.warning("\(queueName): queue file size limit exceeded")
            chunkFailed()
            return VerbTable.tooBig
        }
        return Reply(250, .init(2, 0, 0), "Ok: \(chunk.size) bytes")
    }

    /// Reads the chunk. Returns false when the client was lost, or too slow.
    private func receive(_ chunk: ChunkCommand, into reception: MessageReception) async -> Bool {
        let start = NIODeadline.now()
        var left = chunk.size
        while true {
            left -= await reception.takeChunk(&feeder.input, atMost: left)
            lastState = "BDAT (\(reception.size) bytes)"
            if left == 0 { return true }
            guard await awaitContent(until: policy.deadline.ofContent(start: start, received: chunk.size - left)) else { return false }
        }
    }

    /// Reads and drops `size` bytes.
    private func skip(_ size: Int) async -> Bool {
        let start = NIODeadline.now()
        var left = size
        while true {
            let count = min(left, feeder.input.readableBytes)
            feeder.input.moveReaderIndex(forwardBy: count)
            left -= count
            if left == 0 { return true }
            feeder.input.clear()
            guard await awaitContent(until: policy.deadline.ofContent(start: start, received: size - left)) else { return false }
        }
    }
}
