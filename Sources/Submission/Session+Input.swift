import MailLog
import NIOCore
import Notices
import SMTPCore

/// A line the client sent, without its line end.
struct InputLine {
    var bytes: [UInt8]
    /// It ended in LF without CR.
    var hasBareLineFeed: Bool
    /// It was longer than allowed; `bytes` is its beginning and the rest has been skipped.
    var isTooLong: Bool
}

extension Session {
    /// The next command, or nil when the session is over: the client went away, was silent for too long, or the process stops.
    func nextCommand() async -> InputLine? {
        if policy.limits.hardErrors > 0, errorCount >= policy.limits.hardErrors {
            log.info("too many errors after \(lastState) from \(clientText)")
            transcript?.abortReason = "too many errors"
            await send(Reply(421, .init(4, 7, 0), "\(policy.host) Error: too many errors"))
            return nil
        }
        // A client that pipelines without end takes turns with the other sessions of this loop.
        commandsSinceYield += 1
        if commandsSinceYield > 100 {
            commandsSinceYield = 0
            // Replies to a hundred commands are enough to hold: the next ones wait until the client reads.
            await flush()
            await Task.yield()
        }
        return await nextLine(limit: policy.limits.lineLength, isCommand: true)
    }

    /// Reads one line of at most `limit` bytes, waiting up to `smtpd_timeout`.
    /// - Parameter isCommand: at a border between commands, where the session may end when the process stops.
    func nextLine(limit: Int, isCommand: Bool) async -> InputLine? {
        var deadline: NIODeadline?
        while true {
            if isCommand, startsWithTLSHello {
                refuseTLSHello()
                return nil
            }
            if let line = takeLine(limit: limit) {
                return line.isTooLong ? await skipRest(of: line, beyond: limit, isCommand: isCommand) : line
            }
            commandsSinceYield = 0
            await flush()
            if isLost { return nil }
            if isCommand, feeder.isShutdownRequested {
                let text = "\(policy.host) Service shutting down and closing transmission channel"
                await send(Reply(421, .init(4, 3, 2), text, closes: true))
                return nil
            }
            if feeder.hasEnded {
                connectionLost()
                return nil
            }
            let limit = deadline ?? .now() + policy.timeout
            deadline = limit
            if NIODeadline.now() >= limit {
                await timedOut()
                return nil
            }
            await feeder.wait(until: limit)
        }
    }

    /// A complete line from the buffer; one that exceeds the limit is taken as far as it goes.
    private func takeLine(limit: Int) -> InputLine? {
        let view = feeder.input.readableBytesView
        let window = view.prefix(limit)
        guard let lineFeed = window.firstIndex(of: UInt8(ascii: "\n")) else {
            guard view.count >= limit else { return nil }
            let bytes = Array(window)
            feeder.input.moveReaderIndex(forwardBy: limit)
            return InputLine(bytes: bytes, hasBareLineFeed: false, isTooLong: true)
        }
        var end = lineFeed
        // Where a bare LF is an error, one CR belongs to the line end.
        let least = allowsBareNewline ? window.startIndex : max(window.startIndex, lineFeed - 1)
        while end > least, window[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        let line = InputLine(bytes: Array(window[window.startIndex..<end]), hasBareLineFeed: end == lineFeed, isTooLong: false)
        feeder.input.moveReaderIndex(forwardBy: lineFeed + 1 - view.startIndex)
        return line
    }

    /// Skips the rest of an over-long line. A client that goes on for as long again is not speaking SMTP: its input is cut off.
    private func skipRest(of line: InputLine, beyond limit: Int, isCommand: Bool) async -> InputLine? {
        // A response of AUTH is a password, or half of one.
        let beginning = isCommand ? Self.printable(Self.withoutSecrets(line.bytes).prefix(30)) : ""
        log.warning("\(clientText): request longer than \(limit): \(beginning)...")
        let deadline = NIODeadline.now() + policy.timeout
        var left = limit
        while left > 0 {
            let view = feeder.input.readableBytesView.prefix(left)
            if let lineFeed = view.firstIndex(of: UInt8(ascii: "\n")) {
                feeder.input.moveReaderIndex(forwardBy: lineFeed + 1 - view.startIndex)
                return line
            }
            left -= view.count
            feeder.input.moveReaderIndex(forwardBy: view.count)
            if left == 0 { break }
            if feeder.hasEnded || NIODeadline.now() >= deadline { return line }
            await flush()
            await feeder.wait(until: deadline)
        }
        log.warning("\(clientText): request longer than \(2 * limit); closing the connection")
        isClosing = true
        return line
    }

    func connectionLost() {
        if !isLost, lastState != "QUIT", lastState != "END-OF-MESSAGE" { log.info("lost connection after \(lastState) from \(clientText)") }
        if lastState != "QUIT" { transcript?.abortReason = "lost connection" }
        isLost = true
        isClosing = true
    }

    func timedOut() async {
        transcript?.abortReason = "timeout"
        log.info("timeout after \(lastState) from \(clientText)")
        await send(Reply(421, .init(4, 4, 2), "\(policy.host) Error: timeout exceeded", closes: true))
    }
}
