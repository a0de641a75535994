/// One command line, split the way smtpd(8) does: at white space, with `<...>` and `"..."` kept together, and `FROM:` and `TO:` ending a
/// token at the colon, so that `MAIL FROM:<a@b>` and `MAIL FROM: <a@b>` read the same.
package struct CommandLine: Sendable {
    /// One word of the line.
    package struct Token: Sendable, Hashable {
        package var range: Range<Int>
        /// A quote or bracket was never closed; a command that needs this token answers with its syntax error.
        package var isUnbalanced: Bool
    }

    /// The line without its line end.
    package let bytes: [UInt8]
    package let tokens: [Token]

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        self.tokens = Self.split(bytes)
    }

    package init(_ text: String) { self.init(Array(text.utf8)) }

    package var count: Int { tokens.count }

    /// The bytes of one token.
    package subscript(_ index: Int) -> ArraySlice<UInt8> { bytes[tokens[index].range] }

    /// One token as text. Bytes that are not UTF-8 become U+FFFD, so the result is for replies and the log only.
    package func text(_ index: Int) -> String { String(decoding: self[index], as: UTF8.self) }

    /// Whether a token equals `word` but for the case of ASCII letters. `word` is in lower case.
    package func matches(_ index: Int, _ word: String) -> Bool {
        let token = self[index]
        return token.count == word.utf8.count && token.elementsEqual(word.utf8) { $0.asciiLowercased == $1 }
    }

    /// The first token as a verb; nil when it is longer than any verb or the line is empty.
    package var verbKey: VerbKey? { tokens.isEmpty ? nil : VerbKey(self[0]) }

    private static func split(_ bytes: [UInt8]) -> [Token] {
        var tokens: [Token] = []
        tokens.reserveCapacity(4)
        var position = 0
        while true {
            while position < bytes.count, bytes[position].isBlank { position += 1 }
            if position == bytes.count { return tokens }
            tokens.append(token(in: bytes, from: &position))
        }
    }

    /// Reads one token; `position` stands on its first byte and ends behind it.
    private static func token(in bytes: [UInt8], from position: inout Int) -> Token {
        let start = position
        var depth = 0
        var inQuotes = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\\") {
                position += min(2, bytes.count - position)
                continue
            }
            if inQuotes {
                inQuotes = byte != UInt8(ascii: "\"")
            } else if byte == UInt8(ascii: "\"") {
                inQuotes = true
            } else if byte == UInt8(ascii: "<") {
                depth += 1
            } else if byte == UInt8(ascii: ">") {
                // A stray `>` is text, as in `RCPT TO:a@b>`.
                depth = max(0, depth - 1)
            } else if depth == 0 {
                if byte.isBlank { break }
                if byte == UInt8(ascii: ":"), endsPathKeyword(bytes[start..<position]) {
                    position += 1
                    break
                }
            }
            position += 1
        }
        return Token(range: start..<position, isUnbalanced: inQuotes || depth > 0)
    }

    private static func endsPathKeyword(_ word: ArraySlice<UInt8>) -> Bool {
        switch word.count {
        case 2: word.elementsEqual("to".utf8) { $0.asciiLowercased == $1 }
        case 4: word.elementsEqual("from".utf8) { $0.asciiLowercased == $1 }
        default: false
        }
    }
}

/// A verb of up to eight letters, upper-cased and packed into one word, so that looking one up costs a comparison.
package struct VerbKey: Sendable, Hashable {
    package let packed: UInt64

    /// nil when `name` is empty or longer than eight bytes, as no verb is.
    package init?(_ name: some Sequence<UInt8>) {
        var packed: UInt64 = 0
        var count = 0
        for byte in name {
            guard count < 8 else { return nil }
            packed = packed << 8 | UInt64(byte.asciiUppercased)
            count += 1
        }
        guard count > 0 else { return nil }
        self.packed = packed
    }
}

extension UInt8 {
    /// Space, tab, and the other white space of C's isspace().
    package var isBlank: Bool { self == 0x20 || (0x09...0x0D).contains(self) }

    package var isASCIILetter: Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self | 0x20) }

    package var isASCIIDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }

    package var asciiLowercased: UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(self) ? self | 0x20 : self }

    package var asciiUppercased: UInt8 { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(self) ? self & ~0x20 : self }
}
