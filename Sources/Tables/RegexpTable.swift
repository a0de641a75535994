import Settings

/// `regexp:`: POSIX regular expressions to values (regexp_table(5)). Case is ignored unless the flag `i` is given.
struct RegexpTable: LookupTable {
    struct Pattern: Sendable {
        var regex: PosixRegex
        var isNegated: Bool
    }

    let name: String
    private let rules: PatternRules<Pattern>

    init(_ spec: String, _ body: String, at location: SourceLocation?) throws(ConfigurationError) {
        name = spec
        rules = try PatternRules(spec, body, at: location, parse: Self.parse)
    }

    var watchedFiles: [String] { rules.watchedFiles }
    var takesWholeKeysOnly: Bool { true }

    func lookup(_ key: String) async -> LookupResult {
        let found = rules.firstMatch { pattern -> [String]? in
            let groups = pattern.regex.firstMatch(in: key)
            return pattern.isNegated ? (groups == nil ? [] : nil) : groups
        }
        guard let found else { return .notFound }
        return .found(Self.substituted(found.value, found.match))
    }

    /// `/pattern/flags`, any character that is no letter or digit as delimiter, `!` before it for "does not match".
    private static func parse(_ line: SourceLine, _ text: Substring, _ problems: inout [Diagnostic]) -> (pattern: Pattern, rest: Substring)?
    {
        var text = text
        var isNegated = false
        while text.first == "!" {
            isNegated.toggle()
            text = text.dropFirst().drop { $0 == " " || $0 == "\t" }
        }
        guard let delimiter = text.first, !delimiter.isLetter, !delimiter.isNumber else {
            problems.append(Diagnostic(.error, "expecting /pattern/ before \"\(text)\"", at: line.location))
            return nil
        }
        var index = text.index(after: text.startIndex)
        let start = index
        while index < text.endIndex, text[index] != delimiter {
            if text[index] == "\\", text.index(after: index) < text.endIndex { index = text.index(after: index) }
            index = text.index(after: index)
        }
        guard index < text.endIndex else {
            problems.append(Diagnostic(.error, "no closing regexp delimiter \"\(delimiter)\"", at: line.location))
            return nil
        }
        let expression = String(text[start..<index])
        var rest = text[text.index(after: index)...]
        var (ignoresCase, extended, lines) = (true, true, false)
        while let flag = rest.first, flag != " ", flag != "\t" {
            switch flag {
            case "i": ignoresCase.toggle()
            case "m": lines.toggle()
            case "x": extended.toggle()
            default:
                problems.append(Diagnostic(.error, "unknown regexp option \"\(flag)\"", at: line.location))
                return nil
            }
            rest = rest.dropFirst()
        }
        do throws(PosixRegex.CompileError) {
            if let name = wrongReplacement(in: rest) {
                problems.append(Diagnostic(.error, "non-numeric replacement index \"\(name)\" (a dollar sign is $$)", at: line.location))
                return nil
            }
            let regex = try PosixRegex(expression, extended: extended, ignoringCase: ignoresCase, matchingLines: lines)
            return (Pattern(regex: regex, isNegated: isNegated), rest)
        } catch {
            problems.append(Diagnostic(.error, "error in regexp \"\(expression)\": \(error.reason)", at: line.location))
            return nil
        }
    }

    /// The first name behind a dollar sign that is no number: Postfix drops such a rule, with a warning.
    private static func wrongReplacement(in value: Substring) -> String? {
        var rest = value
        while let dollar = rest.firstIndex(of: "$") {
            rest = rest[rest.index(after: dollar)...]
            if rest.first == "$" {
                rest = rest.dropFirst()
                continue
            }
            let name = (rest.first == "{" || rest.first == "(" ? rest.dropFirst() : rest).prefix { $0 == "_" || $0.isLetter || $0.isNumber }
            if name.contains(where: { !$0.isASCII || !$0.isNumber }) { return String(name) }
            rest = rest[name.endIndex...]
        }
        return nil
    }

    /// `$1`, `${1}` and `$(1)` by what the groups matched, `$$` by a dollar sign.
    private static func substituted(_ value: String, _ groups: [String]) -> String {
        guard value.utf8.contains(UInt8(ascii: "$")) else { return value }
        var out = ""
        var rest = value[...]
        while let dollar = rest.firstIndex(of: "$") {
            out += rest[..<dollar]
            rest = rest[rest.index(after: dollar)...]
            if rest.first == "$" {
                out += "$"
                rest = rest.dropFirst()
                continue
            }
            let close: Character? = rest.first == "{" ? "}" : rest.first == "(" ? ")" : nil
            let digits = (close == nil ? rest : rest.dropFirst()).prefix { $0.isASCII && $0.isNumber }
            if digits.isEmpty {
                out += "$"
                continue
            }
            if let number = Int(digits), number < groups.count { out += groups[number] }
            rest = rest[digits.endIndex...]
            if close != nil, rest.first == close { rest = rest.dropFirst() }
        }
        return out + rest
    }
}
