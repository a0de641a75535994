import MailLog
import NIOCore
import Notices
import Restrictions
import SMTPCore
import Tables

extension Session {
    var phase: Phase {
        if chunks != nil { return transaction == nil ? .strayChunks : .chunks }
        guard let transaction else { return facts.heloName == nil ? .fresh : .greeted }
        return transaction.recipients.isEmpty ? .mail : .recipients
    }

    /// One command from line to reply.
    ///
    /// What is decided is decided without `await`, in ``step(for:isNoop:)``: the largest frame of a session stays with its connection while it
    /// is idle, and here each of a dozen answers would have its place in it.
    @inline(never)
    func perform(_ line: InputLine) async {
        isNoted = false
        transcript?.command(line.bytes)
        if let refusal = refusal(of: line) {
            return await finish(Answer(CommandStatistics.unknown, "UNKNOWN", .reply(refusal), isCounted: false))
        }
        guard let bytes = policy.commandFilter.isEmpty ? line.bytes : await replaced(line.bytes) else { return }
        let command = CommandLine(bytes)
        let isNoop = policy.noopCommands.isEmpty || command.count == 0 ? false : await isNoop(command)
        switch step(for: command, isNoop: isNoop) {
        case .answer(let answer): await finish(answer)
        case .answerWithoutContent(let answer): if await dropChunk(of: command) { await finish(answer) }
        case .unknown: await performUnknown(command)
        case .refusePipelining: await refusePipelining()
        case .verb(let index):
            let verb = VerbTable.verbs[index]
            await finish(Answer(index, verb.name, await verb.handler(self, command), isJunk: verb.isJunk))
        }
    }

    /// What is said to a command, and how it counts.
    struct Answer {
        let index: Int
        let state: String
        let outcome: Outcome
        let isJunk: Bool
        let isCounted: Bool

        init(_ index: Int, _ state: String, _ outcome: Outcome, isJunk: Bool = false, isCounted: Bool = true) {
            self.index = index
            self.state = state
            self.outcome = outcome
            self.isJunk = isJunk
            self.isCounted = isCounted
        }
    }

    /// What a command comes to before its verb is asked.
    private enum Step {
        case answer(Answer)
        /// The content that comes with it, if it is a BDAT, is dropped first.
        case answerWithoutContent(Answer)
        case unknown
        case refusePipelining
        case verb(Int)
    }

    /// The checks stand in the order in which smtpd(8) makes them.
    @inline(never)
    private func step(for command: CommandLine, isNoop: Bool) -> Step {
        // smtpd(8) reads a line up to its first NUL.
        if command.count == 0 || command[0].first == 0 {
            return .answer(Answer(CommandStatistics.unknown, lastState, .reply(Self.badSyntax), isCounted: false))
        }
        if isNoop { return .answerWithoutContent(Answer(CommandStatistics.unknown, "NOOP", noop(), isJunk: true, isCounted: false)) }
        guard let index = VerbTable.index(of: command.verbKey) else { return .unknown }
        let verb = VerbTable.verbs[index]
        if let denial, verb.name != "QUIT" { return .answerWithoutContent(Answer(index, verb.name, .reply(accessDenied(denial)))) }
        if policy.tls.isEnforced, tls == nil, !verb.allowedBeforeTLS {
            return .answerWithoutContent(Answer(index, verb.name, .reply(Self.mustStartTLS)))
        }
        lastState = verb.name
        if !isExtended || verb.endsPipeline, feeder.input.readableBytes > 0 {
            logImproperPipelining(after: verb.name)
            if policy.pipelining.isForbidden {
                statistics.count(index, succeeded: false)
                return .refusePipelining
            }
        }
        if policy.heloRequired, verb.needsHelo, facts.heloName == nil {
            return .answer(Answer(index, verb.name, .reply(VerbTable.needHelo)))
        }
        if !verb.refusals.isEmpty, let refusal = verb.refusals.first(where: { $0.phase == phase }) {
            return .answer(Answer(index, verb.name, .reply(refusal.reply)))
        }
        return .verb(index)
    }

    @inline(never)
    private func isNoop(_ command: CommandLine) async -> Bool { await policy.noopCommands.contains(command.text(0)) }

    /// The content that comes with a BDAT which is refused as any command would be: it must not be read as commands. False when the client
    /// was lost over it.
    @inline(never)
    private func dropChunk(of command: CommandLine) async -> Bool {
        guard command.matches(0, "bdat") else { return true }
        return await skipChunk(of: command)
    }

    /// Sends the reply and does the counting.
    @inline(never)
    private func finish(_ answer: Answer) async {
        let outcome = answer.outcome
        if let reply = outcome.reply {
            if !outcome.succeeded, !isNoted, let event = SessionEvent(of: reply, to: answer.state) { note(event.notice) }
            await send(reply)
        }
        if answer.isCounted { statistics.count(answer.index, succeeded: outcome.succeeded && !outcome.isRestart) }
        if !outcome.succeeded { errorCount += 1 }
        if answer.isJunk {
            if junkCount > policy.limits.junkCommands {
                errorCount += 1
                note(.protocol)
            }
            junkCount += 1
        }
    }

    /// What is wrong with a line before it is a command.
    @inline(never)
    private func refusal(of line: InputLine) -> Reply? {
        if line.isTooLong { return Reply(500, .init(5, 5, 2), "\(policy.host) Error: command too long") }
        if line.hasBareLineFeed, !allowsBareNewline {
            sawBareLineFeed = true
            if policy.bareNewline.mode == .reject {
                logEvent("reject", lastState, "bare <LF> received", recipient: nil)
                return bareLineFeedReply(closes: true)
            }
        }
        if policy.checksUTF8, line.bytes.contains(where: { $0 >= 0x80 }), String(validating: line.bytes, as: UTF8.self) == nil {
            return Reply(500, .init(5, 5, 2), "Error: bad UTF-8 syntax")
        }
        return nil
    }

    /// The line that `smtpd_command_filter` puts in the place of this one; nil after a refusal.
    @inline(never)
    private func replaced(_ bytes: [UInt8]) async -> [UInt8]? {
        let key = String(decoding: bytes.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }, as: UTF8.self)
        switch await policy.commandFilter.lookup(key) {
        case .notFound: return bytes
        case .found(let replacement):
            log.info("\(clientText): replacing command \"\(Self.printable(Self.withoutSecrets(bytes)))\" with \"\(replacement)\"")
            return Array(replacement.utf8)
        case .failed(let reason):
            log.warning("\(reason) for \"\(Self.printable(key.utf8))\"")
            note(.data)
            await send(localDataError(at: lastState))
            return nil
        }
    }

    @inline(never)
    private func performUnknown(_ command: CommandLine) async {
        if denial == nil { lastState = "UNKNOWN" }
        let word = command.text(0)
        var isForbidden = Self.looksLikeHeader(command[0])
        if !isForbidden { isForbidden = await policy.forbiddenCommands.contains(word) }
        if isForbidden {
            log.warning("non-SMTP command from \(clientText): \(Self.escaped(command.bytes.prefix(100)))")
            statistics.count(CommandStatistics.unknown, succeeded: false)
            await send(Reply(221, .init(2, 7, 0), "Error: I can break rules, too. Goodbye.", closes: true))
            return
        }
        let reply = denial.map(accessDenied) ?? Reply(500, .init(5, 5, 2), "Error: command not recognized")
        await finish(Answer(CommandStatistics.unknown, "UNKNOWN", .reply(reply)))
    }

    /// A mail header that arrives as a command: printable ASCII up to a colon.
    private static func looksLikeHeader(_ word: ArraySlice<UInt8>) -> Bool {
        guard let colon = word.firstIndex(of: UInt8(ascii: ":")), colon > word.startIndex else { return false }
        return word[..<colon].allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// Every command after a denied connection; a denial that closes is repeated as it was.
    private func accessDenied(_ denial: Reply) -> Reply {
        if denial.code == 421 || denial.code == 521 { return denial }
        return Reply(503, .init(5, 7, 0), "Error: access denied for \(clientText)")
    }

    func bareLineFeedReply(closes: Bool) -> Reply {
        Reply(policy.bareNewline.rejectCode, .init(5, 5, 2), "\(policy.host) Error: bare <LF> received", closes: closes)
    }

    /// Once in a session.
    func logImproperPipelining(after state: String) {
        if facts.pipelinedImproperly { return }
        facts.pipelinedImproperly = true
        let data = state == "AUTH" ? "..." : Self.escaped(Self.withoutSecrets(feeder.input.readableBytesView.prefix(100)))
        log.info("improper command pipelining after \(state) from \(clientText): \(data)")
    }

    @inline(never)
    func refusePipelining() async {
        await send(Reply(554, .init(5, 5, 0), "Error: SMTP protocol synchronization", closes: true))
    }

    private static let badSyntax = Reply(500, .init(5, 5, 2), "Error: bad syntax")
    private static let mustStartTLS = Reply(530, .init(5, 7, 0), "Must issue a STARTTLS command first")
}
