/// `conf -M`, `-F` and `-P` with `-e`, `-X` and `-#`: changes to master.cf.
package enum MasterEditor {
    /// `service/type=new line` words: the entry's line is replaced, or added at the end.
    package static func setEntries(_ words: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        var lines: [(key: String, text: String)] = []
        for word in words {
            let (key, value) = try split(word, parts: 2)
            lines.append((key[0] + "/" + key[1], format(try parse(value))))
        }
        return replace(lines, in: bytes)
    }

    /// Takes the entries `service/type` out.
    package static func removeEntries(_ keys: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        EditResult(bytes: edit(bytes, action: .remove, keys: try keys.map(checkedKey)))
    }

    /// Turns the entries `service/type` into comments.
    package static func commentOutEntries(_ keys: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        EditResult(bytes: edit(bytes, action: .commentOut, keys: try keys.map(checkedKey)))
    }

    /// `service/type/parameter=value` words: adds or changes the entry's `-o` options.
    package static func setParameters(_ words: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        try change(words.map { word throws(EditError) in try split(word, parts: 3) }, in: bytes) { entry, name, value in
            entry.setOverride(name, to: value)
        }
    }

    /// `service/type/parameter` words: takes the entry's `-o` options out.
    package static func removeParameters(_ words: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        let changes = try words.map { word throws(EditError) in
            let parts = word.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 3 else { throw EditError(message: "-PX needs service/type/parameter, not \"\(word)\"") }
            return (parts, "")
        }
        return try change(changes, in: bytes) { entry, name, _ in entry.removeOverride(name) }
    }

    /// `service/type/field=value` words: changes single columns.
    package static func setFields(_ words: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        var fieldProblem: EditError?
        let result = try change(words.map { word throws(EditError) in try split(word, parts: 3) }, in: bytes) { entry, field, value in
            var columns = entry.columns + [entry.commandLine]
            guard let index = MasterEntry.fieldNames.firstIndex(of: field) else {
                fieldProblem = EditError(
                    message: "unknown field \"\(field)\": it must be one of \(MasterEntry.fieldNames.joined(separator: ", "))"
                )
                return
            }
            columns[index] = value
            do throws(EditError) { entry = try parse(columns.joined(separator: " ")) } catch { fieldProblem = error }
        }
        if let fieldProblem { throw fieldProblem }
        return result
    }

    private static func change(
        _ changes: [(path: [String], value: String)],
        in bytes: [UInt8],
        _ body: (inout MasterEntry, String, String) -> Void
    ) throws(EditError) -> EditResult {
        var entries: [String: MasterEntry] = [:]
        for entry in MasterFile(ConfigText(bytes), file: "master.cf").entries { entries[entry.key] = entry }
        var changed: Set<String> = []
        for (path, value) in changes {
            let key = "\(path[0])/\(path[1])"
            guard var entry = entries[key] else { throw EditError(message: "master.cf has no entry \(key)") }
            guard !value.utf8.contains(where: { $0 == 0x0A || $0 == 0 }) else {
                throw EditError(message: "a value cannot contain a line end")
            }
            body(&entry, path[2], value)
            entries[key] = entry
            changed.insert(key)
        }
        return replace(changed.sorted().compactMap { key in entries[key].map { (key, format($0)) } }, in: bytes)
    }

    private static func format(_ entry: MasterEntry) -> String { entry.formatted(folded: true) }

    private static func replace(_ lines: [(key: String, text: String)], in bytes: [UInt8]) -> EditResult {
        let texts = Dictionary(lines.map { ($0.key, $0.text) }, uniquingKeysWith: { $1 })
        let present = Set(ConfigText(bytes).lines.compactMap { key(of: $0.text) })
        let missing = lines.filter { !present.contains($0.key) }.map(\.text)
        return EditResult(bytes: LineEditor.edit(bytes, appending: missing) { key(of: $0).flatMap { texts[$0].map { .replace($0) } } })
    }

    private static func edit(_ bytes: [UInt8], action: LineEditor.Action, keys: [String]) -> [UInt8] {
        LineEditor.edit(bytes) { line in key(of: line).flatMap { keys.contains($0) ? action : nil } }
    }

    /// `service/type` of a line; nil when it has fewer than two words.
    private static func key(of line: String) -> String? {
        let words = line.split(maxSplits: 2, whereSeparator: \.isWhitespace)
        return words.count < 2 ? nil : "\(words[0])/\(words[1])"
    }

    private static func parse(_ line: String) throws(EditError) -> MasterEntry {
        let (entry, problems) = MasterFile.entry(line, at: SourceLocation(file: "master.cf", line: 0))
        guard let entry, problems.isEmpty else { throw EditError(message: problems.joined(separator: "; ")) }
        return entry
    }

    private static func checkedKey(_ key: String) throws(EditError) -> String {
        guard key.split(separator: "/").count == 2 else { throw EditError(message: "master.cf edits need service/type, not \"\(key)\"") }
        return key
    }

    /// Splits `a/b=value` or `a/b/c=value`.
    private static func split(_ word: String, parts: Int) throws(EditError) -> (path: [String], value: String) {
        guard let equals = word.firstIndex(of: "=") else { throw EditError(message: "missing \"=\" in \"\(word)\"") }
        let path = word[..<equals].split(separator: "/", omittingEmptySubsequences: false).map { $0.trimmed() }
        guard path.count == parts, path.allSatisfy({ !$0.isEmpty }) else {
            throw EditError(message: "master.cf edits need \(parts == 2 ? "service/type" : "service/type/name")=value, not \"\(word)\"")
        }
        return (path, word[word.index(after: equals)...].trimmed())
    }
}

extension MasterEntry {
    fileprivate mutating func setOverride(_ name: String, to value: String) {
        let setting = Argument(text: "\(name)=\(value)")
        for index in overrideIndices(of: name) { arguments[index] = setting }
        if overrideIndices(of: name).isEmpty { arguments.insert(contentsOf: [Argument(text: "-o"), setting], at: optionsEnd) }
    }

    fileprivate mutating func removeOverride(_ name: String) {
        for index in overrideIndices(of: name).reversed() { arguments.removeSubrange(index - 1...index) }
    }

    /// Where the `name=value` words of a name's `-o` options stand.
    private func overrideIndices(of name: String) -> [Int] {
        arguments[..<optionsEnd].indices.filter { index in
            guard index > 0, arguments[index - 1].text == "-o", case .success(let (found, _)) = MainFile.assignment(arguments[index].text)
            else {
                return false
            }
            return found == name
        }
    }

    /// The index after the last option.
    private var optionsEnd: Int {
        var index = 0
        while index < arguments.count, arguments[index].text.hasPrefix("-"), arguments[index].text != "-" {
            index += arguments[index].text == "-o" ? 2 : 1
        }
        return min(index, arguments.count)
    }
}
