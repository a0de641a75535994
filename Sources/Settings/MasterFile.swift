/// master.cf: one entry for each service.
package struct MasterFile: Sendable {
    package let entries: [MasterEntry]
    /// With those that a later line of the same name takes the place of.
    let written: [MasterEntry]
    package let diagnostics: [Diagnostic]

    /// Parses the file's text; `file` is its name for messages.
    package init(_ text: ConfigText, file: String) {
        var entries: [MasterEntry] = []
        var written: [MasterEntry] = []
        var diagnostics: [Diagnostic] = []
        for line in text.lines {
            let location = SourceLocation(file: file, line: line.number)
            if line.isOrphan {
                diagnostics.append(Diagnostic(.error, "the line starts with white space, but there is no line to continue", at: location))
                continue
            }
            let (entry, problems) = Self.entry(line.text, at: location)
            diagnostics += problems.map { Diagnostic(.error, $0, at: location) }
            guard let entry else { continue }
            written.append(entry)
            if let earlier = entries.firstIndex(where: { $0.key == entry.key }) {
                let message = "\(entry.key) is defined again; the entry of line \(entries[earlier].location.line) is not used"
                diagnostics.append(Diagnostic(.warning, message, at: location))
                entries.remove(at: earlier)
            }
            entries.append(entry)
        }
        self.entries = entries
        self.written = written
        self.diagnostics = diagnostics
    }

    /// Parses one logical line. All that is wrong with it is reported at once. A column that cannot be read counts as `-`; without a type
    /// or a command there is no entry.
    package static func entry(_ line: String, at location: SourceLocation) -> (MasterEntry?, problems: [String]) {
        guard !line.utf8.contains(0) else { return (nil, ["the line contains a NUL byte"]) }
        let (words, wordProblems) = words(line)
        guard words.count >= 8 else {
            return (
                nil,
                ["a service has 8 columns (service type private unpriv chroot wakeup maxproc command), this line has \(words.count)"]
                    + wordProblems
            )
        }
        var columns = ColumnReader()
        let type = MasterEntry.ServiceType(rawValue: words[1])
        if type == nil {
            columns.problems.append("unknown service type \"\(words[1])\": it must be inet, unix, fifo, pass or unix-dgram")
        }
        let entry = MasterEntry(
            service: words[0],
            type: type ?? .unix,
            isPrivate: columns.flag(words[2], "private"),
            isUnprivileged: columns.flag(words[3], "unprivileged"),
            chroot: columns.flag(words[4], "chroot"),
            wakeup: columns.wakeup(words[5]),
            processLimit: columns.processLimit(words[6]),
            command: words[7],
            arguments: words.dropFirst(8).map { MasterEntry.Argument(text: $0) },
            location: location
        )
        return (type == nil ? nil : entry, columns.problems + wordProblems)
    }

    /// Splits at white space; a word that starts with `{` runs to its `}` and loses both.
    private static func words(_ line: String) -> (words: [String], problems: [String]) {
        var words: [String] = []
        var problems: [String] = []
        var rest = Array(line.utf8)[...]
        while true {
            rest = rest.drop(while: ListSyntax.isSpace)
            guard let first = rest.first else { return (words, problems) }
            let word: ArraySlice<UInt8>
            if first == UInt8(ascii: "{") {
                guard let end = closingBrace(rest) else {
                    problems.append("missing \"}\" in \"\(String(decoding: rest, as: UTF8.self))\"")
                    return (words, problems)
                }
                word = rest[(rest.startIndex + 1)..<end]
                rest = rest[(end + 1)...]
                if let next = rest.first, !ListSyntax.isSpace(next) { problems.append("white space is missing after \"}\"") }
                words.append(String(decoding: word, as: UTF8.self).trimmed())
            } else {
                word = rest.prefix { !ListSyntax.isSpace($0) }
                rest = rest[word.endIndex...]
                words.append(String(decoding: word, as: UTF8.self))
            }
        }
    }

    private static func closingBrace(_ text: ArraySlice<UInt8>) -> Int? {
        var depth = 0
        for index in text.indices {
            if text[index] == UInt8(ascii: "{") { depth += 1 }
            if text[index] == UInt8(ascii: "}") { depth -= 1 }
            if depth == 0 { return index }
        }
        return nil
    }

    /// Reads single columns and remembers what is wrong with them.
    private struct ColumnReader {
        var problems: [String] = []

        mutating func flag(_ word: String, _ column: String) -> Bool? {
            switch word {
            case "y": return true
            case "n": return false
            case "-": return nil
            default:
                problems.append("column \(column) must be y, n or -, not \"\(word)\"")
                return nil
            }
        }

        mutating func wakeup(_ word: String) -> String {
            let digits = word.hasSuffix("?") ? word.dropLast() : word[...]
            if word != "-", DecimalNumber.parse(digits).map({ $0 < 0 }) ?? true {
                problems.append("column wakeup must be a number of seconds, a number and ?, or -, not \"\(word)\"")
            }
            return word
        }

        mutating func processLimit(_ word: String) -> Int? {
            if word == "-" { return nil }
            guard let limit = DecimalNumber.parse(word), limit >= 0 else {
                problems.append("column maxproc must be a number or -, not \"\(word)\"")
                return nil
            }
            return limit
        }
    }
}
