import SMTPCore
import Settings

/// Rules with `if`/`endif` around them, in order.
struct PatternRules<Pattern: Sendable>: Sendable {
    enum Rule: Sendable {
        case match(Pattern, value: String)
        /// Where the pattern does not match, go on behind the `endif` at `end`.
        case block(Pattern, end: Int)
        case endBlock
    }

    private(set) var rules: [Rule] = []
    let watchedFiles: [String]

    /// - Parameters:
    ///   - body: what stands after `type:`.
    ///   - parse: takes the pattern off the front of a line; nil when it is not a pattern, after saying why in the list of problems.
    init(
        _ spec: String,
        _ body: String,
        at location: SourceLocation?,
        parse: (_ line: SourceLine, _ rest: Substring, _ problems: inout [Diagnostic]) -> (pattern: Pattern, rest: Substring)?
    ) throws(ConfigurationError) {
        let source = try PatternSource.read(spec, body, at: location)
        watchedFiles = source.watchedFiles
        var problems: [Diagnostic] = []
        var open: [(rule: Int, pattern: Pattern, location: SourceLocation)] = []
        for line in source.rules {
            let word = DomainName.folded(line.text.prefix { $0 != " " && $0 != "\t" && $0 != "!" && $0 != "/" && $0 != "[" })
            if word == "endif" {
                guard let block = open.popLast() else {
                    problems.append(Diagnostic(.error, "endif without if", at: line.location))
                    continue
                }
                rules.append(.endBlock)
                rules[block.rule] = .block(block.pattern, end: rules.count)
                continue
            }
            let isBlock = word == "if"
            let text = isBlock ? line.text.dropFirst(2).drop { $0 == " " || $0 == "\t" } : line.text[...]
            guard let (pattern, rest) = parse(line, text, &problems) else { continue }
            let value = ListText.trimmed(rest)
            if isBlock {
                if !value.isEmpty { problems.append(Diagnostic(.error, "text after if pattern: \"\(value)\"", at: line.location)) }
                open.append((rules.count, pattern, line.location))
                rules.append(.endBlock)
            } else if value.isEmpty {
                problems.append(Diagnostic(.error, "no value after pattern: \"\(line.text)\"", at: line.location))
            } else {
                rules.append(.match(pattern, value: value))
            }
        }
        problems += open.map { Diagnostic(.error, "if without endif", at: $0.location) }
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    /// The value of the first rule whose pattern matches, with what matching it yielded.
    func firstMatch<Match>(_ match: (Pattern) -> Match?) -> (match: Match, value: String)? {
        var index = 0
        while index < rules.count {
            switch rules[index] {
            case .match(let pattern, let value):
                if let found = match(pattern) { return (found, value) }
                index += 1
            case .block(let pattern, let end): index = match(pattern) == nil ? end : index + 1
            case .endBlock: index += 1
            }
        }
        return nil
    }
}
