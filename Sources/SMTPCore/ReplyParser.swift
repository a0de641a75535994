/// A server's reply as a client reads it (RFC 5321 section 4.2), kept in the server's own words for the log and for bounces.
package struct ServerReply: Sendable, Hashable {
    /// 200 to 599; that of the last line.
    package var code: Int
    /// The enhanced status code (RFC 2034), where the text begins with one of the reply's own class.
    package var status: EnhancedStatusCode?
    /// The lines as received, codes included, joined by LF. Control characters are replaced by `?`.
    package var text: String

    package init(code: Int, status: EnhancedStatusCode? = nil, text: String) {
        self.code = code
        self.status = status
        self.text = text
    }

    package var isPositive: Bool { code < 400 }
    package var isTransientFailure: Bool { (400..<500).contains(code) }
    package var isPermanentFailure: Bool { code >= 500 }

    /// The reply on one line, as Postfix logs it: every line with its code, joined by blanks. Cut to ``logTextLimit`` bytes: it is kept for
    /// each recipient of a message, and the server chose its length.
    package var logText: String {
        let kept = text.utf8.count <= Self.logTextLimit ? text : String(decoding: text.utf8.prefix(Self.logTextLimit), as: UTF8.self)
        return kept.utf8.contains(0x0A) ? kept.split(separator: "\n").joined(separator: " ") : kept
    }

    /// `line_length_limit`'s default.
    package static let logTextLimit = 2048

    /// The text of each line behind code and separator.
    package var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.dropFirst(4) } }

    /// `status`, or `2.0.0`, `4.0.0`, `5.0.0` by the code's class where the server gave none.
    package var effectiveStatus: EnhancedStatusCode {
        status ?? EnhancedStatusCode(code < 400 ? 2 : code < 500 ? 4 : 5, 0, 0)
    }
}

/// Turns the bytes of a server into replies, whatever their boundaries. Bounded: a server cannot make it hold more than ``Limits`` allow.
package struct ReplyParser: Sendable {
    package struct Limits: Sendable, Hashable {
        /// Bytes kept of one line; the rest is dropped (Postfix: `line_length_limit`).
        package var lineLength = 2048
        /// Lines of one reply.
        package var lines = 256
        /// Bytes of one reply.
        package var replySize = 65536
        /// Complete replies nobody has asked for yet.
        package var pendingReplies = 2048

        package init() {}
    }

    /// What no client can go on from: the connection is to be closed.
    package enum Failure: Error, Sendable, Hashable {
        /// Not `code SP text`; the line, cut to 100 bytes, for the log.
        case malformedLine(String)
        case replyTooLong
        case tooManyReplies
    }

    private let limits: Limits
    private var line: [UInt8] = []
    private var text = ""
    private var lineCount = 0
    private var status: EnhancedStatusCode?
    /// Complete replies in reverse order would need shifting; a head index does not.
    private var ready: [ServerReply] = []
    private var head = 0

    package init(limits: Limits = Limits()) { self.limits = limits }

    /// The oldest complete reply not yet taken.
    package mutating func next() -> ServerReply? {
        guard head < ready.count else { return nil }
        let reply = ready[head]
        head += 1
        if head == ready.count {
            ready.removeAll(keepingCapacity: true)
            head = 0
        }
        return reply
    }

    package var hasReply: Bool { head < ready.count }

    /// Whether part of a reply has been received.
    package var isInsideReply: Bool { !line.isEmpty || lineCount > 0 }

    /// Takes bytes as they came. After a failure the parser must not be fed again.
    package mutating func consume(_ bytes: borrowing Span<UInt8>) throws(Failure) {
        for index in bytes.indices {
            let byte = bytes[index]
            if byte == 0x0A {
                try finishLine()
            } else if line.count < limits.lineLength {
                line.append(byte)
            }
        }
    }

    private mutating func finishLine() throws(Failure) {
        defer { line.removeAll(keepingCapacity: true) }
        if line.last == 0x0D { line.removeLast() }
        guard let code = Self.code(of: line), line.count == 3 || line[3] == 0x20 || line[3] == 0x2D else {
            throw .malformedLine(Self.printable(line.prefix(100)))
        }
        let lineText = Self.printable(line[...])
        if let found = Self.status(in: lineText, code: code) { status = found }
        text += lineCount == 0 ? lineText : "\n" + lineText
        lineCount += 1
        guard lineCount <= limits.lines, text.utf8.count <= limits.replySize else { throw .replyTooLong }
        if line.count > 3, line[3] == 0x2D { return }
        guard ready.count - head < limits.pendingReplies else { throw .tooManyReplies }
        ready.append(ServerReply(code: code, status: status, text: text))
        text = ""
        status = nil
        lineCount = 0
    }

    private static func code(of line: [UInt8]) -> Int? {
        guard line.count >= 3, (0x32...0x35).contains(line[0]), (0x30...0x39).contains(line[1]), (0x30...0x39).contains(line[2]) else {
            return nil
        }
        return Int(line[0] - 0x30) * 100 + Int(line[1] - 0x30) * 10 + Int(line[2] - 0x30)
    }

    /// Only a status of the code's own class counts: `550 4.0.0` contradicts itself, and the code wins.
    private static func status(in line: String, code: Int) -> EnhancedStatusCode? {
        guard line.utf8.count >= 9 else { return nil }
        let rest = line.utf8.dropFirst(4)
        guard let first = rest.first, Int(first) == code / 100 + 0x30 else { return nil }
        let word = Substring(rest).prefix { $0 != " " }
        guard let status = EnhancedStatusCode(word), Int(status.class) == code / 100 else { return nil }
        return status
    }

    private static func printable(_ bytes: ArraySlice<UInt8>) -> String {
        guard bytes.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return String(decoding: bytes, as: UTF8.self) }
        return String(decoding: bytes.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }
}
