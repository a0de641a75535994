import Settings

extension FixedTable {
    /// The text file that postmap(1) (or, for lines `key: value`, postalias(1)) reads.
    ///
    /// Of a key that stands there twice the first one counts, as it does for postmap.
    static func sourceFile(
        _ spec: String,
        path: String,
        acceptsAliases: Bool,
        at location: SourceLocation?,
        registry: TableRegistry
    ) throws(ConfigurationError) -> FixedTable {
        var values: [String: String] = [:]
        for line in try SourceText.logicalLines(ofFile: path, at: location) {
            guard let entry = entry(line, acceptsAliases: acceptsAliases, registry: registry) else { continue }
            let key = KeyFolding.folded(entry.key)
            if values[key] != nil {
                registry.warn(Diagnostic(.warning, "duplicate entry: \"\(key)\"", at: line.location))
            } else {
                values[key] = entry.value
            }
        }
        return FixedTable(name: spec, values: values, watchedFiles: [path])
    }

    private static func entry(_ line: SourceLine, acceptsAliases: Bool, registry: TableRegistry) -> (key: String, value: String)? {
        var (key, value) = SourceText.keyAndValue(line.text)
        let isAlias = key.utf8.last == UInt8(ascii: ":") || (value.isEmpty && key.utf8.contains(UInt8(ascii: ":")))
        if isAlias, acceptsAliases, let colon = value.isEmpty ? key.firstIndex(of: ":") : key.indices.last {
            if value.isEmpty { value = String(key[key.index(after: colon)...]) }
            key = String(key[..<colon])
        } else if key.utf8.last == UInt8(ascii: ":") {
            registry.warn(Diagnostic(.warning, "record is in \"key: value\" format; is this an alias file?", at: line.location))
        }
        if key.utf8.count > 2, key.first == "\"", key.last == "\"" { key = unquoted(key) }
        if key.isEmpty || value.isEmpty {
            registry.warn(Diagnostic(.warning, "expected format: key whitespace value", at: line.location))
            return nil
        }
        return (key, value)
    }

    private static func unquoted(_ key: String) -> String {
        var out = ""
        var escaped = false
        for scalar in key.unicodeScalars.dropFirst().dropLast() {
            if scalar == "\\", !escaped {
                escaped = true
            } else {
                out.unicodeScalars.append(scalar)
                escaped = false
            }
        }
        return out
    }
}
