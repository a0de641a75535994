import Settings

extension FixedTable {
    /// `inline:{ key=value, { key = text with spaces } }`.
    static func inline(_ spec: String, _ body: String, at location: SourceLocation?, registry: TableRegistry) throws(ConfigurationError)
        -> FixedTable
    {
        guard let group = ListText.group(body), let items = ListText.items(group) else {
            throw ConfigurationError("bad syntax in \"\(spec)\", expecting inline:{name=value...}", at: location)
        }
        if items.isEmpty { throw ConfigurationError("empty table \"\(spec)\", expecting inline:{name=value...}", at: location) }
        var values: [String: String] = [:]
        var problems: [Diagnostic] = []
        for item in items {
            let text = ListText.group(item) ?? item
            guard let equals = Self.nameEnd(text) else {
                problems.append(Diagnostic(.error, "missing '=' after attribute name in \"\(spec)\": \"\(text)\"", at: location))
                continue
            }
            let key = KeyFolding.folded(ListText.trimmed(text[..<equals]))
            let value = ListText.trimmed(text[text.index(after: equals)...])
            if key.isEmpty {
                problems.append(Diagnostic(.error, "empty attribute name in \"\(spec)\": \"\(text)\"", at: location))
            } else if values.updateValue(value, forKey: key) != nil {
                registry.warn(Diagnostic(.warning, "\(spec): duplicate entry: \"\(key)\"", at: location))
            }
        }
        if !problems.isEmpty { throw ConfigurationError(problems) }
        return FixedTable(name: spec, values: values)
    }

    /// The `=` after the name, which holds white space inside double quotes only.
    private static func nameEnd(_ text: String) -> String.Index? {
        var quoted = false
        var ended = false
        for index in text.indices {
            let character = text[index]
            if character == "\"" { quoted.toggle() }
            if quoted { continue }
            if character == "=" { return index }
            if character.isWhitespace { ended = true } else if ended { return nil }
        }
        return nil
    }
}
