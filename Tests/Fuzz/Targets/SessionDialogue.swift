import SMTPCore

/// A client that sends a line, wants its one reply, and sends the next, and that knows what may have come of it: a message needs a sender
/// and recipients that were accepted since the last event that ends a transaction, and a login counts until the session starts anew.
struct SessionDialogue {
    private let harness: SessionHarness
    private let configuration: SessionConfiguration
    private var codes: [Int] = []
    private var hasSender = false
    private var recipients = 0
    private var isLoggedIn = false
    private var messages = 0

    init(_ harness: SessionHarness, _ configuration: SessionConfiguration) {
        self.harness = harness
        self.configuration = configuration
    }

    mutating func run(_ input: ArraySlice<UInt8>) throws {
        codes = try Replies.codes(harness.output)
        try require(codes.count == 1, "\(codes.count) greetings: \(shown(harness.output))")
        var rest = input
        while let end = rest.firstIndex(of: 0x0A) {
            let line = rest[...end]
            rest = rest[(end + 1)...]
            if harness.isClosed { return }
            switch codes.last {
            case 354: try content(line)
            case 334: try response(line)
            default: try command(line, &rest)
            }
        }
        harness.send(rest)
    }

    /// Sends `bytes`; the codes of what they were answered with.
    private mutating func answers(to bytes: ArraySlice<UInt8>) throws -> [Int] {
        let before = codes.count
        harness.send(bytes)
        codes = try Replies.codes(harness.output)
        return Array(codes[before...])
    }

    /// One reply, or what the error limit adds to it; none only from a server that has gone.
    private func requireOne(_ answers: [Int], to line: ArraySlice<UInt8>) throws {
        let isOne = answers.count == 1 || (answers.count == 2 && answers.last == 421) || (answers.isEmpty && harness.isClosed)
        try require(isOne, "\(answers.count) replies to \(shown(line)) in \(shown(harness.output))")
    }

    private mutating func content(_ line: ArraySlice<UInt8>) throws {
        let answers = try answers(to: line)
        guard let first = answers.first else { return try requireNoMessage("within DATA") }
        try requireOne(answers, to: line)
        try endOfData(first)
    }

    private mutating func response(_ line: ArraySlice<UInt8>) throws {
        let answers = try answers(to: line)
        try requireOne(answers, to: line)
        if answers.first == 235 { isLoggedIn = true }
        try requireNoMessage("from a SASL response")
    }

    private mutating func command(_ line: ArraySlice<UInt8>, _ rest: inout ArraySlice<UInt8>) throws {
        let command = read(line)
        var answers = try answers(to: line)
        if answers.isEmpty, !harness.isClosed, command.verbKey == VerbKey("BDAT".utf8), let chunk = ChunkCommand(command) {
            let content = rest.prefix(chunk.size)
            rest = rest.dropFirst(content.count)
            answers = try self.answers(to: content)
            if content.count < chunk.size { return try require(answers.isEmpty, "an answer to a part of a chunk") }
        }
        try requireOne(answers, to: line)
        guard let code = answers.first else { return }
        try note(command, code)
    }

    /// The command as the server has it.
    private func read(_ line: ArraySlice<UInt8>) -> CommandLine {
        var bytes = line.dropLast()
        while bytes.last == 0x0D { bytes = bytes.dropLast() }
        guard !configuration.filter.isEmpty else { return CommandLine(Array(bytes)) }
        let key = String(decoding: bytes.drop { $0 == 0x20 || $0 == 0x09 }, as: UTF8.self).lowercased()
        return configuration.filter[key].map { CommandLine($0) } ?? CommandLine(Array(bytes))
    }

    private mutating func note(_ command: CommandLine, _ code: Int) throws {
        guard let key = command.verbKey else { return }
        let isLast = ChunkCommand(command)?.isLast == true
        switch key {
        case Self.bdat where isLast: return try endOfData(code)
        case Self.data where code == 354: try require(recipients > 0, "354 without a recipient: \(shown(harness.output))")
        case Self.mail where code == 250: (hasSender, recipients) = (true, 0)
        case Self.rcpt where code == 250: recipients += 1
        case Self.auth where code == 235: isLoggedIn = true
        case Self.startTLS where code == 220:
            endTransaction()
            isLoggedIn = false
        case Self.xclient where code < 400:
            endTransaction()
            isLoggedIn = command.bytes.map(\.asciiUppercased).contains("LOGIN=")
        case Self.helo where code == 250, Self.ehlo where code == 250, Self.rset where code == 250: endTransaction()
        default: break
        }
        try requireNoMessage("from \(shown(command.bytes))")
    }

    private mutating func endTransaction() { (hasSender, recipients) = (false, 0) }

    private func requireNoMessage(_ what: String) throws {
        try require(harness.queue.messages.count == messages, "a message \(what)")
    }

    /// 250 means one message, of this transaction; anything else none.
    private mutating func endOfData(_ code: Int) throws {
        let new = harness.queue.messages.count - messages
        messages += new
        defer { endTransaction() }
        guard code == 250 else { return try require(new == 0, "\(new) messages that were refused with \(code)") }
        try require(hasSender && recipients > 0, "a message was taken without sender or recipient: \(shown(harness.output))")
        if new == 0, configuration.discards { return }
        try require(new == 1, "\(new) messages with one reply: \(shown(harness.output))")
        guard let envelope = harness.queue.messages.last?.envelope else { return }
        let count = envelope.recipients.count
        try require(count > 0, "a message to nobody")
        try require(configuration.expands || count <= recipients, "\(count) recipients where \(recipients) were accepted")
        try require(isLoggedIn || envelope.origin.saslUsername.isEmpty, "a login that was none: \(shown(harness.output))")
    }

    private static let bdat = VerbKey("BDAT".utf8)
    private static let data = VerbKey("DATA".utf8)
    private static let mail = VerbKey("MAIL".utf8)
    private static let rcpt = VerbKey("RCPT".utf8)
    private static let auth = VerbKey("AUTH".utf8)
    private static let startTLS = VerbKey("STARTTLS".utf8)
    private static let xclient = VerbKey("XCLIENT".utf8)
    private static let helo = VerbKey("HELO".utf8)
    private static let ehlo = VerbKey("EHLO".utf8)
    private static let rset = VerbKey("RSET".utf8)
}

extension [UInt8] {
    func contains(_ text: String) -> Bool {
        let text = Array(text.utf8)
        return count >= text.count && (0...(count - text.count)).contains { self[$0..<($0 + text.count)].elementsEqual(text) }
    }
}

/// What a server said, taken apart.
enum Replies {
    /// The codes of the replies; throws on anything that is not a complete reply.
    static func codes(_ output: [UInt8]) throws -> [Int] {
        var codes: [Int] = []
        var previous: UInt8 = 0
        for byte in output {
            try require(byte != 0x0A || previous == 0x0D, "a bare line feed in \(shown(output))")
            try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in \(shown(output))")
            previous = byte
        }
        try require(output.isEmpty || previous == 0x0A, "half a line in \(shown(output))")
        var open: Int?
        for line in output.split(separator: 0x0A) {
            let text = line.dropLast()
            guard text.count >= 4, let code = Int(String(decoding: text.prefix(3), as: UTF8.self)), (200...599).contains(code) else {
                throw FuzzViolation(description: "no reply: \(shown(line))")
            }
            let separator = text[text.startIndex + 3]
            try require(separator == 0x20 || separator == 0x2D, "no reply: \(shown(line))")
            if let open { try require(open == code, "two codes in one reply: \(shown(output))") }
            open = separator == 0x2D ? code : nil
            if open == nil { codes.append(code) }
        }
        try require(open == nil, "a reply without its end: \(shown(output))")
        return codes
    }
}
