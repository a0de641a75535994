/// A dialogue as it is written down in `Tests/Dialogues/TOPIC/NAME.smtp`.
///
///     # What this shows (comment)
///     set smtpd_helo_required = yes       a parameter of the server
///     S: 220 mx.test.example ESMTP Postfix
///     C: MAIL FROM:<a@b.example>          adjacent C: lines travel in one flight
///     S: 503 5.5.1 Error: *               `*` stands for anything
///     S: ...                              any number of lines `250-...`
///     S: <EOF>                            the server closes the connection
///     L: *improper command pipelining*    a line of the server's log
///     M: Subject: hello                   a line of the last accepted message; those of its envelope are `MAIL FROM:<...>`, `RCPT TO:<...>`
///     S: <nothing>                        no answer yet, for a moment
///     new                                 a new connection
///     another                             a new connection, while those before stay open
///     close                               the client closes the connection
///     tls                                 the client starts TLS
///     # shows: S3.2 S3.3                  the facts of Docs/conformance.md that this shows
///     # needs: server REASON              runs against the built server only, not in memory
///     # differs: ROW [PATTERN]            Postfix differs here: a row of Docs/postfix-differences.md
///
/// In C: lines `\r \n \t \0 \\ \xHH` are bytes, and `\c` at the end leaves out the CRLF.
package struct DialogueFile: Sendable {
    package enum Step: Sendable, Hashable {
        case connect
        case another
        case startTLS
        case nothing
        /// Bytes as they go out.
        case send([UInt8])
        case reply(String)
        case moreOfReply
        case close
        case end
        case log(String)
        case message(String)
    }

    package var parameters: [String: String] = [:]
    /// Why only the built server can play this (Tests/Acceptance does); nil when it runs in memory, too.
    package var reasonForServer: String?
    /// With the line number of each, for the report of a failure.
    package var steps: [(line: Int, step: Step)] = [(0, .connect)]

    /// Something in the file that is none of the above.
    package struct SyntaxError: Error, CustomStringConvertible {
        package var line: Int
        package var text: String
        package var description: String { "line \(line): not understood: \(text)" }
    }

    package init(_ text: String) throws(SyntaxError) {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            if line.hasPrefix("# needs: server ") { reasonForServer = String(line.dropFirst(16)) }
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line.hasPrefix("set "), let equals = line.firstIndex(of: "=") {
                let name = line[line.index(line.startIndex, offsetBy: 4)..<equals].filter { $0 != " " }
                parameters[String(name)] = String(line[line.index(after: equals)...].drop { $0 == " " })
            } else if let step = Self.words[line] {
                steps.append((number, step))
            } else if line.hasPrefix("C: ") || line == "C:" {
                guard let bytes = Self.unescaped(line.dropFirst(3)) else { throw SyntaxError(line: number, text: String(line)) }
                append(bytes, at: number)
            } else if line.hasPrefix("S: ") {
                steps.append((number, .reply(String(line.dropFirst(3)))))
            } else if line.hasPrefix("L: ") {
                steps.append((number, .log(String(line.dropFirst(3)))))
            } else if line.hasPrefix("M: ") || line == "M:" {
                steps.append((number, .message(String(line.dropFirst(3)))))
            } else {
                throw SyntaxError(line: number, text: String(line))
            }
        }
    }

    private static let words: [Substring: Step] = [
        "new": .connect, "another": .another, "tls": .startTLS, "close": .close, "S: ...": .moreOfReply, "S: <EOF>": .end,
        "S: <nothing>": .nothing,
    ]

    private mutating func append(_ bytes: [UInt8], at line: Int) {
        if case .send(let before)? = steps.last?.step {
            steps[steps.count - 1].step = .send(before + bytes)
        } else {
            steps.append((line, .send(bytes)))
        }
    }

    private static func unescaped(_ text: Substring) -> [UInt8]? {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "0"): out.append(0)
            case UInt8(ascii: "\\"): out.append(UInt8(ascii: "\\"))
            case UInt8(ascii: "x"):
                guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
                rest = rest.dropFirst(2)
                out.append(value)
            case UInt8(ascii: "c"): return rest.isEmpty ? out : nil
            default: return nil
            }
        }
        return out + [0x0D, 0x0A]
    }

    /// Whether `text` matches a pattern in which `*` stands for any run of characters.
    package static func matches(_ text: String, _ pattern: String) -> Bool {
        var rest = text[...]
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
        if parts.count == 1 { return text == pattern }
        for (index, part) in parts.enumerated() where !part.isEmpty {
            if index == 0 {
                guard rest.hasPrefix(part) else { return false }
                rest = rest.dropFirst(part.count)
            } else if index == parts.count - 1 {
                return rest.hasSuffix(part)
            } else {
                guard let found = rest.firstRange(of: part) else { return false }
                rest = rest[found.upperBound...]
            }
        }
        return true
    }
}
