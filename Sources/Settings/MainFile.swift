/// main.cf as it stands in the file: `name = value` lines, unexpanded.
package struct MainFile: Sendable {
    package struct Entry: Sendable, Hashable {
        package var name: String
        package var value: String
        package var location: SourceLocation
    }

    /// In the order of the file; a name may come twice.
    package let entries: [Entry]
    /// The definition in force of each name: the last one.
    package let definitions: [String: Definition]
    package let diagnostics: [Diagnostic]

    /// Parses the file's text; `file` is its name for messages.
    package init(_ text: ConfigText, file: String) {
        var entries: [Entry] = []
        var definitions: [String: Definition] = [:]
        var diagnostics: [Diagnostic] = []
        for line in text.lines {
            let location = SourceLocation(file: file, line: line.number)
            switch Self.parse(line) {
            case .success(let (name, value)):
                if let earlier = definitions[name]?.location {
                    diagnostics.append(
                        Diagnostic(.warning, "\(name) is set again; the value of line \(earlier.line) is not used", at: location)
                    )
                }
                entries.append(Entry(name: name, value: value, location: location))
                definitions[name] = Definition(value: value, location: location)
            case .failure(let problem): diagnostics.append(Diagnostic(.error, problem.message, at: location))
            }
        }
        self.entries = entries
        self.definitions = definitions
        self.diagnostics = diagnostics
    }

    struct Problem: Error { var message: String }

    private static func parse(_ line: ConfigText.LogicalLine) -> Result<(String, String), Problem> {
        if line.isOrphan { return .failure(Problem(message: "the line starts with white space, but there is no line to continue")) }
        if line.text.utf8.contains(0) { return .failure(Problem(message: "the line contains a NUL byte")) }
        return assignment(line.text)
    }

    /// Splits `name = value`; the value is without white space at its ends.
    static func assignment(_ text: String) -> Result<(String, String), Problem> {
        guard let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")) else {
            return .failure(Problem(message: "missing \"=\" after \"\(text.trimmed())\""))
        }
        let name = text[..<equals].trimmed()
        let value = text[text.utf8.index(after: equals)...].trimmed()
        guard !name.isEmpty else { return .failure(Problem(message: "missing name before \"=\"")) }
        guard !name.utf8.contains(where: ListSyntax.isSpace) else { return .failure(Problem(message: "missing \"=\" in \"\(name)\"")) }
        return .success((name, value))
    }
}
