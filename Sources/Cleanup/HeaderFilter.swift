package import NIOCore
package import SMTPCore

/// What cleanup(8) does to every message's header block.
package struct HeaderPolicy: Sendable {
    /// `message_drop_headers`, in lower case.
    package var droppedNames: [String]
    /// `header_size_limit`: bytes kept of one logical header.
    package var sizeLimit: Int
    /// `hopcount_limit`: this many Received headers, ours included, are a loop.
    package var hopLimit: Int

    package init(droppedNames: [String], sizeLimit: Int, hopLimit: Int) {
        self.droppedNames = droppedNames
        self.sizeLimit = sizeLimit
        self.hopLimit = hopLimit
    }
}

/// What is added at the end of the header block where the client left it out (`local_header_rewrite_clients`, `always_add_missing_headers`).
package struct HeaderCompletion: Sendable {
    package var queueID: QueueID
    /// `myhostname`, the right-hand side of a Message-Id.
    package var host: String
    /// For From; `MAILER-DAEMON` stands for the null sender.
    package var sender: Address
    package var date: MailTime
    /// `undisclosed_recipients_header`, empty for none.
    package var undisclosedRecipients: String

    package init(queueID: QueueID, host: String, sender: Address, date: MailTime, undisclosedRecipients: String) {
        self.queueID = queueID
        self.host = host
        self.sender = sender
        self.date = date
        self.undisclosedRecipients = undisclosedRecipients
    }
}

/// Passes a message's header block through line by line: drops, truncates, completes, and remembers what the log and the loop check need.
///
/// Feed it decoded lines until ``isInBody``; the rest of the message does not concern it. The result does not depend on how the input is cut.
/// Where addresses are to be rewritten, it stops at each header that holds some: see ``waitingHeader``.
package struct HeaderFilter: Sendable {
    private let policy: HeaderPolicy
    private let completion: HeaderCompletion?
    private let rewritesAddresses: Bool
    private let marksMailboxLine: Bool
    private var seen: KnownHeaders = []
    private var isFirstLine = true
    /// Bytes of the current logical header that may still be kept; nil outside a header. Zero drops the rest of it.
    private var budget: Int?
    /// Something of the current line has been written, so that its line end must follow.
    private var keepsLine = false
    /// Within a physical line longer than ``classificationLength``, whose end has not been seen.
    private var isInLongLine = false
    /// Collects the value of a Message-Id header, for the log.
    private var messageIDInProgress: (isResent: Bool, value: String)?

    package private(set) var isInBody = false
    /// Received headers so far; ours counts.
    package private(set) var hopCount = 1
    /// Values of `Message-Id` (false) and `Resent-Message-Id` (true) headers, in order, an added one included; `<>` when there is none.
    /// None of a message that is a loop; only the first few of each message: each becomes a line of the log, and a message has room for a million.
    package private(set) var messageIDs: [(isResent: Bool, value: String)] = []

    /// A line this long without an end is judged by its beginning (`line_length_limit`).
    private static let classificationLength = 2048
    private static let messageIDLimit = 16

    /// A header with addresses whose end has not been seen.
    private var collecting: (side: AddressHeader.Side, text: ByteBuffer)?
    /// A complete header with addresses. Nothing more is decided until ``resume(with:into:)`` has said what becomes of it.
    package private(set) var waitingHeader: AddressHeader?

    /// - Parameters:
    ///   - rewritesAddresses: stop at headers with addresses.
    ///   - marksMailboxLine: a first line `From ` becomes a header, as smtpd(8) has it with DATA; with BDAT the body begins there.
    package init(policy: HeaderPolicy, completion: HeaderCompletion?, rewritesAddresses: Bool = false, marksMailboxLine: Bool = true) {
        self.policy = policy
        self.completion = completion
        self.rewritesAddresses = rewritesAddresses
        self.marksMailboxLine = marksMailboxLine
    }

    /// Goes on after ``waitingHeader``; call ``consume(_:into:)`` or ``finish(into:)`` again.
    /// - Parameter list: what the addresses have become; nil leaves the header as it was.
    package mutating func resume(with list: AddressList?, into output: inout ByteBuffer) {
        guard let header = waitingHeader else { return }
        waitingHeader = nil
        if let list {
            output.writeBytes(list.folded(name: header.name))
            output.writeStaticString("\r\n")
        } else {
            var text = header.text
            output.writeBuffer(&text)
        }
    }

    package var exceedsHopLimit: Bool { hopCount >= policy.hopLimit }

    /// Moves what can be decided from `input` to `output`; an incomplete line stays in `input` for the next call. In the body everything moves.
    package mutating func consume(_ input: inout ByteBuffer, into output: inout ByteBuffer) {
        while !isInBody, waitingHeader == nil, takeLine(&input, into: &output) {}
        if isInBody { output.writeBuffer(&input) }
    }

    /// The message has ended; completes a header block that no empty line ended. To be called again after ``waitingHeader``.
    package mutating func finish(into output: inout ByteBuffer) {
        if !isInBody, !offerHeader() { endHeaders(into: &output) }
    }

    /// The header that was being collected is complete. Returns whether there is one.
    private mutating func offerHeader() -> Bool {
        guard let (side, text) = collecting else { return false }
        collecting = nil
        waitingHeader = AddressHeader(side: side, text: text)
        return true
    }

    /// Returns false when nothing more can be decided without more input.
    private mutating func takeLine(_ input: inout ByteBuffer, into output: inout ByteBuffer) -> Bool {
        let view = input.readableBytesView
        guard let first = view.first else { return false }
        let lineFeed = view.firstIndex(of: UInt8(ascii: "\n"))
        if lineFeed == nil, view.count < Self.classificationLength { return false }
        let end = lineFeed.map { $0 + 1 } ?? view.endIndex
        let line = view[view.startIndex..<end]
        let isBlank = first == UInt8(ascii: " ") || first == UInt8(ascii: "\t")
        // Anything but a continuation ends the header before it.
        if !isInLongLine, !(isBlank && budget != nil), offerHeader() { return false }
        if isInLongLine {
            keep(line, endsLine: lineFeed != nil, into: &output)
        } else if let prefix = mailboxLinePrefix(line) {
            beginHeader(KnownHeaders.Name.other)
            output.writeString(prefix)
            keep(line, endsLine: lineFeed != nil, into: &output)
        } else if first == UInt8(ascii: "\r") || first == UInt8(ascii: "\n") {
            endHeaders(into: &output)
            isInBody = true
            return true
        } else if isBlank, let left = budget {
            continueHeader(line, left: left, endsLine: lineFeed != nil, into: &output)
        } else if let name = headerName(line) {
            startHeader(line, nameEnd: name.end, colon: name.colon, endsLine: lineFeed != nil, into: &output)
        } else {
            // Not a header: what the client left out is an empty line.
            endHeaders(into: &output)
            output.writeStaticString("\r\n")
            isInBody = true
            return true
        }
        isFirstLine = false
        input.moveReaderIndex(forwardBy: end - view.startIndex)
        return true
    }

    private func mailboxLinePrefix(_ line: ByteBufferView) -> String? {
        guard isFirstLine, marksMailboxLine else { return nil }
        let text = line.first == UInt8(ascii: ">") ? line.dropFirst() : line
        return text.starts(with: "From ".utf8) ? "X-Mailbox-Line: " : nil
    }

    /// Printable characters other than the colon, then perhaps blanks, then a colon (RFC 5322 section 2.2 with the obsolete blanks).
    /// Only the beginning of a line is looked at: how the client's bytes are cut makes no difference.
    private func headerName(_ line: ByteBufferView) -> (end: Int, colon: Int)? {
        let line = line.prefix(Self.classificationLength)
        var index = line.startIndex
        while index < line.endIndex, line[index] > 0x20, line[index] < 0x7F, line[index] != UInt8(ascii: ":") { index += 1 }
        let end = index
        while index < line.endIndex, line[index] == UInt8(ascii: " ") || line[index] == UInt8(ascii: "\t") { index += 1 }
        guard end > line.startIndex, index < line.endIndex, line[index] == UInt8(ascii: ":") else { return nil }
        return (end, index)
    }

    private mutating func beginHeader(_ name: KnownHeaders.Name) {
        finishMessageID()
        budget = policy.sizeLimit
        seen.insert(name)
        switch name {
        case .received: hopCount += 1
        case .messageID: messageIDInProgress = (false, "")
        case .resentMessageID: messageIDInProgress = (true, "")
        default: break
        }
    }

    private mutating func startHeader(_ line: ByteBufferView, nameEnd: Int, colon: Int, endsLine: Bool, into output: inout ByteBuffer) {
        let nameBytes = line[line.startIndex..<nameEnd]
        let name = KnownHeaders.name(of: nameBytes)
        beginHeader(name)
        if messageIDInProgress != nil { appendToMessageID(line[(colon + 1)...]) }
        var rest = line
        if policy.droppedNames.contains(where: { nameBytes.equalsIgnoringCase($0) }) {
            budget = 0
        } else {
            if rewritesAddresses, let side = name.addressSide { collecting = (side, ByteBuffer()) }
            if nameEnd < colon {
                // Blanks before the colon are obsolete, and some readers take such a line for the end of the header block.
                write(nameBytes, to: &output)
                budget = policy.sizeLimit - nameBytes.count
                rest = line[colon...]
            }
        }
        keep(rest, endsLine: endsLine, into: &output)
    }

    private mutating func continueHeader(_ line: ByteBufferView, left: Int, endsLine: Bool, into output: inout ByteBuffer) {
        // A continuation that does not fit ends the header: half a line could change its meaning. The line end before it counts as one byte.
        budget = 1 + line.count - (endsLine ? 2 : 0) > left ? 0 : left - 1
        if messageIDInProgress != nil { appendToMessageID(line) }
        keep(line, endsLine: endsLine, into: &output)
    }

    /// Writes as much of a line, or of a piece of one, as the current header may still hold. The end of a truncated line is kept.
    private mutating func keep(_ piece: ByteBufferView, endsLine: Bool, into output: inout ByteBuffer) {
        let left = budget ?? 0
        if !isInLongLine { keepsLine = left > 0 }
        let text = endsLine ? piece.dropLast(2) : piece
        write(text.prefix(left), to: &output)
        if endsLine, keepsLine { write("\r\n".utf8, to: &output) }
        budget = max(0, left - text.count)
        isInLongLine = !endsLine
    }

    private mutating func write(_ bytes: some Sequence<UInt8>, to output: inout ByteBuffer) {
        if collecting != nil { collecting?.text.writeBytes(bytes) } else { output.writeBytes(bytes) }
    }

    private mutating func appendToMessageID(_ piece: ByteBufferView) {
        guard var message = messageIDInProgress, message.value.utf8.count < 1000 else { return }
        var text = piece.prefix(1000)
        while let last = text.last, last == UInt8(ascii: "\n") || last == UInt8(ascii: "\r") { text = text.dropLast() }
        if message.value.isEmpty {
            text = text.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        } else {
            message.value += "?"
        }
        message.value += String(decoding: text.map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
        messageIDInProgress = message
    }

    private mutating func finishMessageID() {
        if let message = messageIDInProgress { remember(message) }
        messageIDInProgress = nil
    }

    /// What follows too many hops is not looked at.
    private mutating func remember(_ message: (isResent: Bool, value: String)) {
        if messageIDs.count < Self.messageIDLimit, !exceedsHopLimit { messageIDs.append(message) }
    }

    private mutating func endHeaders(into output: inout ByteBuffer) {
        finishMessageID()
        budget = nil
        if let completion { complete(completion, into: &output) }
        if !messageIDs.contains(where: { !$0.isResent }) { remember((false, "<>")) }
    }

    private mutating func complete(_ completion: HeaderCompletion, into output: inout ByteBuffer) {
        let isResent = seen.containsResent
        let prefix = isResent ? "Resent-" : ""
        if !seen.contains(isResent ? .resentMessageID : .messageID) {
            let value = "<\(completion.date.compactUTC).\(completion.queueID)@\(completion.host)>"
            output.writeString("\(prefix)Message-Id: \(value)\r\n")
            remember((isResent, value))
        }
        if !seen.contains(isResent ? .resentDate : .date) { output.writeString("\(prefix)Date: \(completion.date.headerDate)\r\n") }
        if !seen.contains(isResent ? .resentFrom : .from) {
            output.writeString("\(prefix)From: \(completion.sender.isNull ? "MAILER-DAEMON" : completion.sender.description)\r\n")
        }
        if !completion.undisclosedRecipients.isEmpty, !seen.containsRecipients {
            output.writeString(completion.undisclosedRecipients + "\r\n")
        }
    }
}
