/// What `conf -M`, `-P` and `-F` print about master.cf.
extension ConfReport {
    /// `-M`: the entries that match `service` or `service/type` patterns (`*` stands for any), in the order of the file.
    package func services(_ patterns: [String], expand: Bool = false, style: ConfStyle = .init()) -> (lines: [String], warnings: [String]) {
        let (entries, warnings) = matching(patterns)
        return (entries.map { (expand ? expanded($0) : $0).formatted(folded: style.folded) }, warnings)
    }

    /// `-P`: the `-o` settings of the services that match `service/type/parameter`.
    package func serviceParameters(_ patterns: [String], expand: Bool = false, style: ConfStyle = .init()) -> (
        lines: [String], warnings: [String]
    ) {
        items(patterns, style: style) { entry in
            (expand ? expanded(entry) : entry).options.overrides.map { ($0.name, $0.value) }
        }
    }

    /// `-F`: the columns of the services that match `service/type/field`.
    package func serviceFields(_ patterns: [String], expand: Bool = false, style: ConfStyle = .init()) -> (
        lines: [String], warnings: [String]
    ) {
        items(patterns, style: style, keepsLines: true) { entry in
            let entry = expand ? expanded(entry) : entry
            let label = "\(entry.key)/command = "
            let command = style.folded ? entry.foldedCommandLine(column: style.parts == .both ? label.utf8.count : 0) : entry.commandLine
            return Array(zip(MasterEntry.fieldNames, entry.columns + [command]))
        }
    }

    private func items(
        _ patterns: [String],
        style: ConfStyle,
        keepsLines: Bool = false,
        of entry: (MasterEntry) -> [(String, String)]
    ) -> (lines: [String], warnings: [String]) {
        let wanted = patterns.map(Self.split)
        var matched: Set<Int> = []
        var lines: [String] = []
        for service in master.written {
            for (name, value) in entry(service) {
                let hits = wanted.indices.filter { Self.matches(wanted[$0], [service.service, service.type.rawValue, name]) }
                matched.formUnion(hits)
                guard patterns.isEmpty || !hits.isEmpty else { continue }
                let path = "\(service.key)/\(name)"
                if keepsLines, style.parts != .name {
                    lines.append(style.parts == .both ? "\(path) = \(value)" : value)
                } else {
                    lines.append(ConfFormat.line(path, value, style: style))
                }
            }
        }
        return (lines, Self.unmatched(patterns, matched))
    }

    private func matching(_ patterns: [String]) -> (entries: [MasterEntry], warnings: [String]) {
        let wanted = patterns.map(Self.split)
        var matched: Set<Int> = []
        let entries = master.written.filter { entry in
            let hits = wanted.indices.filter { Self.matches(wanted[$0], [entry.service, entry.type.rawValue]) }
            matched.formUnion(hits)
            return patterns.isEmpty || !hits.isEmpty
        }
        return (entries, Self.unmatched(patterns, matched))
    }

    private static func split(_ pattern: String) -> [String] {
        pattern.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    }

    private static func matches(_ pattern: [String], _ path: [String]) -> Bool {
        pattern.count <= path.count && zip(pattern, path).allSatisfy { $0 == "*" || $0 == $1 }
    }

    private static func unmatched(_ patterns: [String], _ matched: Set<Int>) -> [String] {
        patterns.indices.filter { !matched.contains($0) }.map { "unmatched request: \"\(patterns[$0])\"" }
    }

    /// The entry with the values of its `-o` settings expanded.
    private func expanded(_ entry: MasterEntry) -> MasterEntry {
        var layers = view
        layers.apply(entry)
        var entry = entry
        for index in entry.arguments.indices where index > 0 && entry.arguments[index - 1].text == "-o" {
            guard case .success(let (name, value)) = MainFile.assignment(entry.arguments[index].text) else { continue }
            var expander = layers.expander()
            if let text = try? expander.expand(value) { entry.arguments[index].text = "\(name)=\(text)" }
        }
        return entry
    }
}
