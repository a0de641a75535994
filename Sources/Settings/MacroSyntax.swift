/// A text with `$` references, not yet parsed.
struct MacroText {
    let bytes: ArraySlice<UInt8>

    init(_ text: String) { bytes = Array(text.utf8)[...] }
    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    enum Piece {
        case literal(ArraySlice<UInt8>)
        case reference(MacroReference)
    }

    /// Splits the text into literals and references; `$$` is a literal `$`.
    func pieces() throws(ExpansionError) -> [Piece] {
        var out: [Piece] = []
        var rest = bytes
        while let dollar = rest.firstIndex(of: UInt8(ascii: "$")) {
            if dollar > rest.startIndex { out.append(.literal(rest[..<dollar])) }
            rest = rest[(dollar + 1)...]
            switch rest.first {
            case UInt8(ascii: "$"):
                out.append(.literal(rest[..<(rest.startIndex + 1)]))
                rest = rest.dropFirst()
            case UInt8(ascii: "{"): out.append(.reference(try bracketed(&rest, open: UInt8(ascii: "{"), close: UInt8(ascii: "}"))))
            case UInt8(ascii: "("): out.append(.reference(try bracketed(&rest, open: UInt8(ascii: "("), close: UInt8(ascii: ")"))))
            default:
                let name = rest.prefix(while: MacroReference.isNameByte)
                guard !name.isEmpty else { throw ExpansionError(message: "$ is not followed by a name; write $$ for a dollar sign") }
                out.append(.reference(.name(String(decoding: name, as: UTF8.self))))
                rest = rest[name.endIndex...]
            }
        }
        if !rest.isEmpty { out.append(.literal(rest)) }
        return out
    }

    private func bracketed(_ rest: inout ArraySlice<UInt8>, open: UInt8, close: UInt8) throws(ExpansionError) -> MacroReference {
        var depth = 0
        for index in rest.indices {
            if rest[index] == open { depth += 1 }
            if rest[index] == close { depth -= 1 }
            guard depth == 0 else { continue }
            let inside = rest[(rest.startIndex + 1)..<index]
            rest = rest[(index + 1)...]
            return try MacroReference(inside)
        }
        throw ExpansionError(message: "missing \"\(Character(Unicode.Scalar(close)))\" after \"$\(Character(Unicode.Scalar(open)))\"")
    }
}

/// One parsed reference.
enum MacroReference {
    case name(String)
    /// `ifTrue` or `ifFalse` is nil where the text has no such branch: it stands for nothing.
    case conditional(Condition, ifTrue: MacroText?, ifFalse: MacroText?)

    enum Condition {
        case notEmpty(String)
        case comparison(MacroText, Comparison, MacroText)
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    /// Parses what stands between the brackets.
    init(_ inside: ArraySlice<UInt8>) throws(ExpansionError) {
        var scanner = MacroScanner(rest: inside)
        scanner.skipSpace()
        if scanner.rest.first == UInt8(ascii: "{") {
            let condition = try scanner.comparison()
            self = try scanner.branches(of: condition, bare: .conditional(condition, ifTrue: MacroText("true"), ifFalse: nil))
        } else {
            let name = scanner.rest.prefix(while: Self.isNameByte)
            guard !name.isEmpty else {
                throw ExpansionError(message: "a reference has no name: \"\(String(decoding: inside, as: UTF8.self))\"")
            }
            scanner.rest = scanner.rest[name.endIndex...]
            let text = String(decoding: name, as: UTF8.self)
            self = try scanner.branches(of: .notEmpty(text), bare: .name(text))
        }
    }
}

/// Reads the inside of a reference from left to right.
struct MacroScanner {
    var rest: ArraySlice<UInt8>

    mutating func skipSpace() { rest = rest.drop(while: ListSyntax.isSpace) }

    /// `{left} operator {right}`
    mutating func comparison() throws(ExpansionError) -> MacroReference.Condition {
        let left = try group()
        skipSpace()
        guard let comparison = Comparison.allCases.first(where: { rest.starts(with: $0.rawValue.utf8) }) else {
            throw unexpected("one of == != < <= >= > is")
        }
        rest = rest.dropFirst(comparison.rawValue.utf8.count)
        skipSpace()
        let right = try group()
        return .comparison(left, comparison, right)
    }

    /// What follows the condition: nothing, `?text`, `:text`, `?{a}`, `:{b}` or `?{a}:{b}`.
    mutating func branches(of condition: MacroReference.Condition, bare: MacroReference) throws(ExpansionError) -> MacroReference {
        skipSpace()
        switch rest.first {
        case nil: return bare
        case UInt8(ascii: "?"):
            rest = rest.dropFirst()
            skipSpaceBeforeGroup()
            guard rest.first == UInt8(ascii: "{") else { return .conditional(condition, ifTrue: remainder(), ifFalse: nil) }
            let ifTrue = try group()
            skipSpace()
            if rest.isEmpty { return .conditional(condition, ifTrue: ifTrue, ifFalse: nil) }
            guard rest.first == UInt8(ascii: ":") else { throw unexpected("\":\" is") }
            rest = rest.dropFirst()
            return .conditional(condition, ifTrue: ifTrue, ifFalse: try alternative())
        case UInt8(ascii: ":"):
            rest = rest.dropFirst()
            return .conditional(condition, ifTrue: nil, ifFalse: try alternative())
        default: throw unexpected("\"?\", \":\" or the end of the reference is")
        }
    }

    private mutating func alternative() throws(ExpansionError) -> MacroText {
        skipSpaceBeforeGroup()
        guard rest.first == UInt8(ascii: "{") else { return remainder() }
        let text = try group()
        skipSpace()
        guard rest.isEmpty else { throw unexpected("the end of the reference is") }
        return text
    }

    /// White space before a text without braces belongs to the text.
    private mutating func skipSpaceBeforeGroup() {
        let after = rest.drop(while: ListSyntax.isSpace)
        if after.first == UInt8(ascii: "{") { rest = after }
    }

    private mutating func remainder() -> MacroText {
        defer { rest = rest[rest.endIndex...] }
        return MacroText(rest)
    }

    /// The inside of a balanced `{ ... }`; white space at its ends belongs to it.
    private mutating func group() throws(ExpansionError) -> MacroText {
        guard rest.first == UInt8(ascii: "{") else { throw unexpected("\"{\" is") }
        var depth = 0
        for index in rest.indices {
            if rest[index] == UInt8(ascii: "{") { depth += 1 }
            if rest[index] == UInt8(ascii: "}") { depth -= 1 }
            guard depth == 0 else { continue }
            let inside = rest[(rest.startIndex + 1)..<index]
            rest = rest[(index + 1)...]
            return MacroText(inside)
        }
        throw ExpansionError(message: "missing \"}\"")
    }

    private func unexpected(_ wanted: String) -> ExpansionError {
        ExpansionError(message: "\(wanted) expected at \"\(String(decoding: rest, as: UTF8.self))\"")
    }
}

/// The operator of a comparison. Longer ones come first, so that the scanner finds `<=level` before `<`.
enum Comparison: String, CaseIterable {
    case lessOrEqualLevel = "<=level"
    case greaterOrEqualLevel = ">=level"
    case lessLevel = "<level"
    case greaterLevel = ">level"
    case equal = "=="
    case notEqual = "!="
    case lessOrEqual = "<="
    case greaterOrEqual = ">="
    case less = "<"
    case greater = ">"

    /// Numbers compare as numbers, other texts byte by byte; the `level` forms compare compatibility levels.
    func holds(_ left: String, _ right: String) throws(ExpansionError) -> Bool {
        switch self {
        case .lessOrEqualLevel, .greaterOrEqualLevel, .lessLevel, .greaterLevel:
            return holds(order: order(try CompatibilityLevel.parse(left), try CompatibilityLevel.parse(right)))
        default:
            if let left = DecimalNumber.parse(left), let right = DecimalNumber.parse(right) { return holds(order: order(left, right)) }
            if left.utf8.elementsEqual(right.utf8) { return holds(order: 0) }
            return holds(order: left.utf8.lexicographicallyPrecedes(right.utf8) ? -1 : 1)
        }
    }

    private func order<T: Comparable>(_ left: T, _ right: T) -> Int { left == right ? 0 : left < right ? -1 : 1 }

    private func holds(order: Int) -> Bool {
        switch self {
        case .equal: order == 0
        case .notEqual: order != 0
        case .less, .lessLevel: order < 0
        case .lessOrEqual, .lessOrEqualLevel: order <= 0
        case .greater, .greaterLevel: order > 0
        case .greaterOrEqual, .greaterOrEqualLevel: order >= 0
        }
    }
}

/// `compatibility_level`: up to three numbers separated by dots, compared one by one.
package struct CompatibilityLevel: Comparable, Sendable {
    private let parts: [Int]

    static func parse(_ text: String) throws(ExpansionError) -> CompatibilityLevel {
        guard let level = CompatibilityLevel(text) else { throw ExpansionError(message: "\"\(text)\" is not a compatibility level") }
        return level
    }

    /// nil unless the text is `1`, `3.6` or `3.6.1`.
    package init?(_ text: String) {
        let words = text.split(separator: ".", omittingEmptySubsequences: false)
        guard words.count <= 3 else { return nil }
        var parts: [Int] = []
        for word in words {
            guard let number = DecimalNumber.parse(word), number >= 0 else { return nil }
            parts.append(number)
        }
        self.parts = parts + Array(repeating: 0, count: 3 - parts.count)
    }

    package static func < (left: CompatibilityLevel, right: CompatibilityLevel) -> Bool {
        left.parts.lexicographicallyPrecedes(right.parts)
    }
}
