/// The words of an address list (RFC 5322 section 3.2), as tolerantly as cleanup(8) reads them.
struct AddressListLexer {
    enum Token: Hashable {
        /// An atom as written, and without its backslashes.
        case atom(raw: [UInt8], text: [UInt8])
        /// A quoted string as written, and its content.
        case quoted(raw: [UInt8], text: [UInt8])
        /// `(...)` and `[...]`, delimiters included.
        case comment([UInt8])
        case literal([UInt8])
        /// One of `< > @ . , ; :`.
        case special(UInt8)
    }

    private let bytes: [UInt8]
    private var position = 0

    /// nil when a quote, comment or literal does not end, or where a parenthesis closes nothing.
    static func tokens(_ text: some Sequence<UInt8>, limit: Int) -> [Token]? {
        // Folding (RFC 5322 section 2.2.3): a line break is white space, wherever it stands.
        var bytes = text.compactMap { $0 == 0x0D ? nil : $0 == 0x0A ? 0x20 : $0 }
        while bytes.last == 0x20 { bytes.removeLast() }
        var lexer = AddressListLexer(bytes: bytes)
        var tokens: [Token] = []
        while let next = lexer.next() {
            guard let token = next else { return nil }
            tokens.append(token)
            if tokens.count > limit { return nil }
        }
        return tokens
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    /// nil at the end; `.some(nil)` for what cannot be read.
    private mutating func next() -> Token?? {
        while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
        guard position < bytes.count else { return .none }
        switch bytes[position] {
        case UInt8(ascii: "\""): return .some(quoted())
        case UInt8(ascii: "("): return .some(comment())
        case UInt8(ascii: ")"), UInt8(ascii: "]"): return .some(nil)
        case UInt8(ascii: "["):
            guard let end = bytes[position...].firstIndex(of: UInt8(ascii: "]")) else { return .some(nil) }
            defer { position = end + 1 }
            return .literal(Array(bytes[position...end]))
        case let byte where Self.isSpecial(byte):
            position += 1
            return .special(byte)
        default: return .some(atom())
        }
    }

    private static func isSpecial(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "@"), UInt8(ascii: "."), UInt8(ascii: ","), UInt8(ascii: ";"),
            UInt8(ascii: ":"):
            true
        default: false
        }
    }

    private static func endsAtom(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x20, 0x09, UInt8(ascii: "\""), UInt8(ascii: "("), UInt8(ascii: ")"), UInt8(ascii: "["), UInt8(ascii: "]"): true
        default: isSpecial(byte)
        }
    }

    /// nil where a backslash is the last byte.
    private mutating func atom() -> Token? {
        let start = position
        var text: [UInt8] = []
        while position < bytes.count, !Self.endsAtom(bytes[position]) {
            if bytes[position] == UInt8(ascii: "\\") { position += 1 }
            guard position < bytes.count else { return nil }
            text.append(bytes[position])
            position += 1
        }
        return .atom(raw: Array(bytes[start..<position]), text: text)
    }

    private mutating func quoted() -> Token? {
        let start = position
        var text: [UInt8] = []
        position += 1
        while position < bytes.count {
            var byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return .quoted(raw: Array(bytes[start..<position]), text: text) }
            if byte == UInt8(ascii: "\\"), position < bytes.count {
                byte = bytes[position]
                position += 1
            }
            text.append(byte)
        }
        return nil
    }

    private mutating func comment() -> Token? {
        let start = position
        var depth = 0
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\\"): position = min(position + 1, bytes.count)
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")"):
                depth -= 1
                if depth == 0 { return .comment(Array(bytes[start..<position])) }
            default: break
            }
        }
        return nil
    }
}
