import Settings

/// The rules of a table of patterns (cidr, regexp): from a file, or inline as `{ {rule}, {rule} }`.
struct PatternSource {
    var rules: [SourceLine]
    var watchedFiles: [String]

    /// - Parameter body: what stands after `type:`.
    static func read(_ spec: String, _ body: String, at location: SourceLocation?) throws(ConfigurationError) -> PatternSource {
        guard body.first == "{" else {
            return PatternSource(rules: try SourceText.logicalLines(ofFile: body, at: location), watchedFiles: [body])
        }
        guard let group = ListText.group(body), let items = ListText.items(group) else {
            throw ConfigurationError("bad syntax in \"\(spec)\": braces do not balance", at: location)
        }
        var rules: [SourceLine] = []
        for item in items {
            guard let rule = ListText.group(item) else {
                throw ConfigurationError("bad syntax in \"\(spec)\": expecting {rule} instead of \"\(item)\"", at: location)
            }
            rules.append(SourceLine(text: rule, location: location ?? SourceLocation(file: spec, line: 1)))
        }
        return PatternSource(rules: rules, watchedFiles: [])
    }
}
