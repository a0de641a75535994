/// `conf -e`, `-X` and `-#` on main.cf.
package enum MainEditor {
    /// Sets parameters from `name=value` words: every definition of the name is rewritten, and a name without one is added at the end.
    package static func set(_ words: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        var values: [String: String] = [:]
        var order: [String] = []
        var warnings: [String] = []
        for word in words {
            guard !word.utf8.contains(where: { $0 == 0x0A || $0 == 0x0D || $0 == 0 }) else {
                throw EditError(message: "a value cannot contain a line end: \"\(word)\"")
            }
            switch MainFile.assignment(word) {
            case .failure(let problem): throw EditError(message: problem.message)
            case .success(let (name, value)):
                guard !name.hasPrefix("#") else { throw EditError(message: "a name cannot start with #: \"\(name)\"") }
                if let earlier = values[name] {
                    warnings.append("ignoring earlier request: '\(name) = \(earlier)'")
                } else {
                    order.append(name)
                }
                values[name] = value
            }
        }
        let present = counts(of: Set(order), in: bytes)
        let missing = order.filter { present[$0] == nil }.map { "\($0) = \(values[$0] ?? "")" }
        let edited = LineEditor.edit(bytes, appending: missing) { line in
            name(of: line).flatMap { name in values[name].map { .replace("\(name) = \($0)") } }
        }
        return EditResult(bytes: edited, warnings: warnings + duplicates(present))
    }

    /// Takes every definition of the names out.
    package static func remove(_ names: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        try drop(names, in: bytes, as: .remove)
    }

    /// Turns every definition of the names into a comment.
    package static func commentOut(_ names: [String], in bytes: [UInt8]) throws(EditError) -> EditResult {
        try drop(names, in: bytes, as: .commentOut)
    }

    private static func drop(_ names: [String], in bytes: [UInt8], as action: LineEditor.Action) throws(EditError) -> EditResult {
        if let odd = names.first(where: { $0.contains("=") || $0.utf8.contains(where: ListSyntax.isSpace) }) {
            throw EditError(message: "-X and -# take names without \"=\" and value: \"\(odd)\"")
        }
        let wanted = Set(names)
        let edited = LineEditor.edit(bytes) { line in name(of: line).flatMap { wanted.contains($0) ? action : nil } }
        return EditResult(bytes: edited, warnings: duplicates(counts(of: wanted, in: bytes)))
    }

    private static func name(of line: String) -> String? {
        guard case .success(let (name, _)) = MainFile.assignment(line) else { return nil }
        return name
    }

    private static func counts(of names: Set<String>, in bytes: [UInt8]) -> [String: Int] {
        var counts: [String: Int] = [:]
        for line in ConfigText(bytes).lines {
            if let name = name(of: line.text), names.contains(name) { counts[name, default: 0] += 1 }
        }
        return counts
    }

    private static func duplicates(_ counts: [String: Int]) -> [String] {
        counts.filter { $0.value > 1 }.keys.sorted().map { "multiple entries for \"\($0)\"" }
    }
}
