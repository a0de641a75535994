/// Reads the path of MAIL and RCPT (RFC 5321 section 4.1.1.2) as tolerantly as smtpd(8): brackets are optional, a source route is dropped,
/// RFC 822 comments and phrases are skipped. The result is in internal form, unquoted.
package enum PathParser {
    package enum Result: Sendable, Hashable {
        /// `<>` gives ``Address/null``.
        case address(Address)
        /// An address with bytes above 127 that are to be refused or handled by the caller (RFC 6531).
        case nonASCII(Address)
        case illegal
    }

    /// - Parameters:
    ///   - path: the token after `FROM:` or `TO:`.
    ///   - strict: `strict_rfc821_envelopes`: brackets are required; comments, phrases and anything after the bracket are not allowed.
    package static func parse(_ path: ArraySlice<UInt8>, strict: Bool = false) -> Result {
        if let address = plain(path) { return .address(address) }
        if strict, path.first != UInt8(ascii: "<") { return .illegal }
        guard let lexemes = lex(withoutBrackets(path), allowComments: !strict), let body = bracketed(lexemes, strict: strict),
            let spec = withoutRoute(body, strict: strict), let address = mailbox(spec)
        else { return .illegal }
        // What begins with `@` is a route, whatever it was quoted with.
        if strict, address.internalForm.utf8.first == UInt8(ascii: "@") { return .illegal }
        guard path.contains(where: { $0 >= 0x80 }) else { return .address(address) }
        // An address is text: with other bytes it would become another one.
        return String(validating: path, as: UTF8.self) == nil ? .illegal : .nonASCII(address)
    }

    /// The form nearly every client sends, `<dot-atom@host>`, without building lexemes.
    private static func plain(_ path: ArraySlice<UInt8>) -> Address? {
        guard path.count >= 5, path.first == UInt8(ascii: "<"), path.last == UInt8(ascii: ">") else { return nil }
        let inner = path.dropFirst().dropLast()
        var at: Int?
        for index in inner.indices {
            let byte = inner[index]
            if byte == UInt8(ascii: "@") {
                if at != nil { return nil }
                at = index
            } else if byte >= 0x80 || !(Address.isAtomText(byte) || byte == UInt8(ascii: ".")) {
                return nil
            }
        }
        guard let at, at > inner.startIndex, at + 1 < inner.endIndex else { return nil }
        return Address(
            localPart: String(decoding: inner[..<at], as: UTF8.self),
            domain: String(decoding: inner[(at + 1)...], as: UTF8.self)
        )
    }

    private enum Lexeme: Equatable {
        /// An atom or a quoted string, unquoted.
        case word([UInt8])
        /// `[...]`, brackets included.
        case literal([UInt8])
        /// One of `< > @ . , ; :`.
        case special(UInt8)
    }

    /// One pair of brackets may enclose what by itself is not complete: `<a@[192.0.2.1>`.
    package static func withoutBrackets(_ path: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard path.count >= 2, path.first == UInt8(ascii: "<"), path.last == UInt8(ascii: ">") else { return path }
        return path.dropFirst().dropLast()
    }

    /// nil when a quote does not end, or where CR or NUL would travel on to the next hop's command line.
    private static func lex(_ path: ArraySlice<UInt8>, allowComments: Bool) -> [Lexeme]? {
        if path.contains(where: { $0 == 0 || $0 == 0x0D || $0 == 0x0A }) { return nil }
        var lexemes: [Lexeme] = []
        var position = path.startIndex
        while position < path.endIndex {
            let byte = path[position]
            switch byte {
            case _ where byte.isBlank:
                position += 1
            case UInt8(ascii: "("):
                guard allowComments else { return nil }
                skipComment(path, &position)
            case UInt8(ascii: "\""):
                guard let text = quotedString(path, &position) else { return nil }
                lexemes.append(.word(text))
            case UInt8(ascii: "["):
                // Compared with smtpd(8): a literal that is never closed reaches to the end.
                let end = path[position...].firstIndex(of: UInt8(ascii: "]")) ?? path.endIndex
                lexemes.append(.literal(Array(path[position..<end]) + [UInt8(ascii: "]")]))
                position = min(end + 1, path.endIndex)
            case _ where isSpecial(byte):
                lexemes.append(.special(byte))
                position += 1
            default:
                lexemes.append(.word(atom(path, &position)))
            }
        }
        return lexemes
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
        byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "(") || byte == UInt8(ascii: "[")
    }

    private static func atom(_ path: ArraySlice<UInt8>, _ position: inout Int) -> [UInt8] {
        var text: [UInt8] = []
        while position < path.endIndex {
            let byte = path[position]
            if byte == UInt8(ascii: "\\") {
                // The last byte escapes nothing.
                if position + 1 < path.endIndex { text.append(withoutTab(path[position + 1])) }
                position = min(position + 2, path.endIndex)
            } else if isSpecial(byte) || byte.isBlank || endsAtom(byte) {
                break
            } else {
                text.append(byte)
                position += 1
            }
        }
        return text
    }

    private static func quotedString(_ path: ArraySlice<UInt8>, _ position: inout Int) -> [UInt8]? {
        var text: [UInt8] = []
        position += 1
        while position < path.endIndex {
            var byte = path[position]
            position += 1
            if byte == UInt8(ascii: "\"") { return text }
            if byte == UInt8(ascii: "\\"), position < path.endIndex {
                byte = path[position]
                position += 1
            }
            text.append(withoutTab(byte))
        }
        return nil
    }

    /// A tab of a quoted string is a blank to Postfix.
    private static func withoutTab(_ byte: UInt8) -> UInt8 { byte == 0x09 ? 0x20 : byte }

    /// A comment that is never closed reaches to the end.
    private static func skipComment(_ path: ArraySlice<UInt8>, _ position: inout Int) {
        var depth = 0
        while position < path.endIndex {
            let byte = path[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\\"): position = min(position + 1, path.endIndex)
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")"):
                depth -= 1
                if depth == 0 { return }
            default: break
            }
        }
    }

    /// What stands between `<` and `>`; all of it when there are no brackets. nil when text follows the bracket.
    private static func bracketed(_ lexemes: [Lexeme], strict: Bool) -> ArraySlice<Lexeme>? {
        guard let open = lexemes.lastIndex(of: .special(UInt8(ascii: "<"))) else {
            return lexemes.last == .special(UInt8(ascii: ">")) ? lexemes.dropLast() : lexemes[...]
        }
        if lexemes[..<open].contains(.special(UInt8(ascii: ">"))) { return nil }
        let inner = lexemes[(open + 1)...]
        let close = inner.firstIndex(of: .special(UInt8(ascii: ">"))) ?? inner.endIndex
        guard inner[close...].allSatisfy({ $0 == .special(UInt8(ascii: ">")) }), !strict || open == 0 else { return nil }
        return inner[..<close]
    }

    /// Drops `@a,@b:`, a group's name, and separators that separate nothing; a group may hold one address.
    private static func withoutRoute(_ lexemes: ArraySlice<Lexeme>, strict: Bool) -> ArraySlice<Lexeme>? {
        var spec = lexemes
        let colon = Lexeme.special(UInt8(ascii: ":"))
        // Any other colon is part of a name, as in `mailto:a@b`.
        if spec.last == .special(UInt8(ascii: ";")), let end = spec.lastIndex(of: colon) { spec = spec[(end + 1)...] }
        while spec.first == .special(UInt8(ascii: "@")), let end = spec.firstIndex(of: colon) {
            spec = spec[(end + 1)...]
            if strict { break }
        }
        let separators = [Lexeme.special(UInt8(ascii: ",")), .special(UInt8(ascii: ";"))]
        if !strict {
            while let first = spec.first, separators.contains(first) { spec.removeFirst() }
            while let last = spec.last, separators.contains(last) { spec.removeLast() }
        }
        return spec.contains { separators.contains($0) || $0 == .special(UInt8(ascii: ">")) } ? nil : spec
    }

    /// Words must be joined by `.` or `@`; the domain follows the last `@`.
    private static func mailbox(_ spec: ArraySlice<Lexeme>) -> Address? {
        var text: [UInt8] = []
        var at: Int?
        var previousWasWord = false
        var previousWasLiteral = false
        for lexeme in spec {
            switch lexeme {
            case .word(let word):
                // `[b]%a` goes on with an operator; other words without anything between are two.
                if previousWasWord, !(previousWasLiteral && isRoutingOperator(word.first)) { return nil }
                text += word
                previousWasWord = true
                previousWasLiteral = false
            case .literal(let literal):
                if previousWasWord, previousWasLiteral || !isRoutingOperator(text.last) { return nil }
                text += literal
                previousWasWord = true
                previousWasLiteral = true
            case .special(let byte):
                if byte == UInt8(ascii: "@") { at = text.count }
                text.append(byte)
                previousWasWord = false
                previousWasLiteral = false
            }
        }
        // Quotes are gone now: the domain of `"a@b"` and `a\@b` is b, too.
        if at == nil, let last = text.lastIndex(of: UInt8(ascii: "@")), isSafe(domain: text[(last + 1)...]) { at = last }
        guard let at else { return Address(localPart: String(decoding: text, as: UTF8.self), domain: nil) }
        let domain = text[(at + 1)...]
        guard isSafe(domain: domain) else { return nil }
        return Address(localPart: String(decoding: text[..<at], as: UTF8.self), domain: String(decoding: domain, as: UTF8.self))
    }

    private static func isRoutingOperator(_ byte: UInt8?) -> Bool { byte == UInt8(ascii: "%") || byte == UInt8(ascii: "!") }

    /// A domain is written without quotes: a `>` or a blank in it (`a@b\>\ SIZE=1`) would end the path in the next hop's command line.
    static func isSafe(domain: ArraySlice<UInt8>) -> Bool {
        guard let first = domain.first else { return false }
        // `[192.0.2.1].`: completing the address drops the dot.
        if first == UInt8(ascii: "["), domain.suffix(2).elementsEqual("].".utf8) { return isSafe(domain: domain.dropLast()) }
        let text = first == UInt8(ascii: "[") && domain.last == UInt8(ascii: "]") ? domain.dropFirst().dropLast() : domain
        return text.allSatisfy { Address.isAtomText($0) || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") && text.count < domain.count }
    }
}
