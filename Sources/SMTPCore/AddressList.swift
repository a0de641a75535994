/// The addresses of a header field, or of a table's answer, in the order of the text (RFC 5322 section 3.4).
///
/// Addresses can be replaced; ``folded(name:)`` then writes the field as cleanup(8) does, comments and display names kept. What is no
/// address list (an unclosed quote, a bracket within brackets) is not read at all: nobody can say what it means, so nobody may change it.
package struct AddressList: Sendable, Hashable {
    package struct Mailbox: Sendable, Hashable {
        package var address: Address
        /// A single quoted string without domain: `"a!b"` names a mailbox, not a route.
        package let isQuoted: Bool
    }

    enum Element: Sendable, Hashable {
        /// A part of a display name or of a group's name, or a comment.
        case word([UInt8])
        /// `.` or `@` in a name.
        case joint(UInt8)
        case comma, semicolon, colon
        /// An index of ``mailboxes``.
        case bare(Int)
        /// `<address (comments)>`.
        case bracketed(Int, comments: [[UInt8]])
        /// What looks like an address and could not be used as one, in brackets or not, as it was written.
        case verbatim([UInt8], isBracketed: Bool)
    }

    package internal(set) var mailboxes: [Mailbox] = []
    /// A source route has been left out: the field is not as it was written.
    package internal(set) var hadRoute = false
    var elements: [Element] = []

    init() {}

    /// - Parameter tokenLimit: `header_address_token_limit`; a longer list is not read.
    /// - Returns: nil for what is no address list.
    package static func parse(_ text: some Sequence<UInt8>, tokenLimit: Int = 10_240) -> AddressList? {
        guard let tokens = AddressListLexer.tokens(text, limit: tokenLimit) else { return nil }
        var parser = AddressListParser()
        return parser.parse(tokens[...]) ? parser.list : nil
    }

    /// Whether everything that looks like an address could be used as one.
    package var isReadable: Bool { !elements.contains { if case .verbatim = $0 { true } else { false } } }

    /// Puts `address` in the place of the `index`th one.
    package mutating func replace(_ index: Int, with address: Address) { mailboxes[index].address = address }
}

/// Finds the mailboxes among the tokens, segment by segment.
struct AddressListParser {
    typealias Token = AddressListLexer.Token

    private(set) var list = AddressList()
    private var isInGroup = false

    mutating func parse(_ tokens: ArraySlice<Token>) -> Bool {
        var segment: [Token] = []
        var isBracketed = false
        for token in tokens {
            switch token {
            case .special(UInt8(ascii: "<")):
                if isBracketed { return false }
                isBracketed = true
            case .special(UInt8(ascii: ">")):
                if !isBracketed { return false }
                isBracketed = false
            case .special(UInt8(ascii: ",")) where !isBracketed, .special(UInt8(ascii: ";")) where !isBracketed:
                guard take(segment) else { return false }
                segment = []
                let isComma = token == .special(UInt8(ascii: ","))
                list.elements.append(isComma ? .comma : .semicolon)
                if !isComma { isInGroup = false }
                continue
            case .special(UInt8(ascii: ":")) where !isBracketed:
                guard beginGroup(segment) else { return false }
                segment = []
                continue
            default: break
            }
            segment.append(token)
        }
        return !isBracketed && take(segment)
    }

    /// `name:`; a group holds no group, and follows nothing but a comma.
    private mutating func beginGroup(_ name: [Token]) -> Bool {
        let last = list.elements.last
        guard !isInGroup, !name.isEmpty, last == nil || last == .comma, !name.contains(.special(UInt8(ascii: "<"))) else { return false }
        isInGroup = true
        takePhrase(name[...])
        list.elements.append(.colon)
        return true
    }

    private mutating func takePhrase(_ tokens: ArraySlice<Token>) {
        for token in tokens {
            switch token {
            case .special(let byte): list.elements.append(.joint(byte))
            default: list.elements.append(.word(Self.raw(token)))
            }
        }
    }

    /// What stands between two separators: any number of `name <address>`, then any number of bare addresses.
    private mutating func take(_ segment: [Token]) -> Bool {
        var rest = segment[...]
        while let open = rest.firstIndex(of: .special(UInt8(ascii: "<"))),
            let close = rest.firstIndex(of: .special(UInt8(ascii: ">")))
        {
            takePhrase(rest[..<open])
            guard takeBracketed(rest[(open + 1)..<close]) else { return false }
            rest = rest[(close + 1)...]
        }
        takeBare(rest)
        return true
    }

    private mutating func takeBracketed(_ tokens: ArraySlice<Token>) -> Bool {
        var comments: [[UInt8]] = []
        var words: [Token] = []
        for token in tokens { if case .comment(let text) = token { comments.append(text) } else { words.append(token) } }
        var spec = words[...]
        // A source route is dropped (RFC 5322 section 4.4).
        if spec.first == .special(UInt8(ascii: "@")), let colon = spec.lastIndex(of: .special(UInt8(ascii: ":"))) {
            spec = spec[(colon + 1)...]
            list.hadRoute = true
        }
        for byte in ",;:".utf8 where spec.contains(.special(byte)) { return false }
        if let mailbox = Self.mailbox(spec) {
            list.elements.append(.bracketed(list.mailboxes.count, comments: comments))
            list.mailboxes.append(mailbox)
        } else {
            list.elements.append(.verbatim(tokens.reduce(into: []) { $0 += Self.raw($1) }, isBracketed: true))
        }
        return true
    }

    /// Words not joined by `.` or `@` are an address each. A comment ahead of or within an address goes behind it.
    private mutating func takeBare(_ tokens: ArraySlice<Token>) {
        var unit: [Token] = []
        var comments: [[UInt8]] = []
        var trailing: [[UInt8]] = []
        for token in tokens {
            switch token {
            case .comment(let text):
                trailing.append(text)
                continue
            case .special: break
            default:
                if Self.isComplete(unit, before: token) {
                    endBare(unit, comments)
                    (unit, comments) = ([], [])
                }
            }
            comments += trailing
            trailing = []
            unit.append(token)
        }
        endBare(unit, comments + trailing)
    }

    private static func isComplete(_ unit: [Token], before token: Token) -> Bool {
        guard let last = unit.last else { return false }
        if case .special(let byte) = last {
            guard case .literal = token else { return false }
            return byte != UInt8(ascii: "@")
        }
        return true
    }

    private mutating func endBare(_ unit: [Token], _ comments: [[UInt8]]) {
        if !unit.isEmpty {
            if let mailbox = Self.mailbox(unit[...]) {
                list.elements.append(.bare(list.mailboxes.count))
                list.mailboxes.append(mailbox)
            } else {
                list.elements.append(.verbatim(unit.reduce(into: []) { $0 += Self.raw($1) }, isBracketed: false))
            }
        }
        list.elements += comments.map { .word($0) }
    }

    private static func raw(_ token: Token) -> [UInt8] {
        switch token {
        case .atom(let raw, _), .quoted(let raw, _): raw
        case .comment(let text), .literal(let text): text
        case .special(let byte): [byte]
        }
    }

    /// nil for nothing, for what is not UTF-8, and for a domain that could not be written without quotes.
    private static func mailbox(_ tokens: ArraySlice<Token>) -> AddressList.Mailbox? {
        var text: [UInt8] = []
        var at: Int?
        for token in tokens {
            switch token {
            case .atom(_, let word), .quoted(_, let word): text += word
            case .literal(let word), .comment(let word): text += word
            case .special(let byte):
                if byte == UInt8(ascii: "@") { at = text.count }
                text.append(byte)
            }
        }
        guard !text.isEmpty, !text.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { return nil }
        var isQuoted = false
        if tokens.count == 1, case .quoted? = tokens.first { isQuoted = true }
        guard let local = String(validating: text[..<(at ?? text.count)], as: UTF8.self) else { return nil }
        guard let at else { return .init(address: Address(localPart: local, domain: nil), isQuoted: isQuoted) }
        guard PathParser.isSafe(domain: text[(at + 1)...]), let domain = String(validating: text[(at + 1)...], as: UTF8.self) else {
            return nil
        }
        return .init(address: Address(localPart: local, domain: domain), isQuoted: false)
    }
}
