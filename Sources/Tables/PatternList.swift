import SMTPCore
import Settings

/// Whether something is in a list of `main.cf`.
package enum ListMatch: Sendable, Hashable {
    case yes
    case no
    /// A table of the list could not answer; the text is for the log.
    case failed(String)
}

/// A list parameter taken apart: `!` exclusions noted, `/file` items replaced by the file's content, tables opened.
struct PatternList: Sendable {
    enum Pattern: Sendable {
        case text(String)
        case table(any LookupTable)
    }

    struct Entry: Sendable {
        var isExclusion: Bool
        var pattern: Pattern
    }

    private(set) var entries: [Entry] = []
    private(set) var watchedFiles: [String] = []

    /// How deep `/file` items may name further files.
    private static let maximumDepth = 10

    /// - Parameter problems: gets what is wrong; the list is then incomplete.
    init(_ text: String, tables: TableRegistry, at location: SourceLocation?, problems: inout [Diagnostic]) {
        add(text, excluded: false, tables: tables, at: location, depth: 0, problems: &problems)
    }

    private mutating func add(
        _ text: String,
        excluded: Bool,
        tables: TableRegistry,
        at location: SourceLocation?,
        depth: Int,
        problems: inout [Diagnostic]
    ) {
        guard let items = ListText.items(text) else {
            problems.append(Diagnostic(.error, "braces do not balance in \"\(text)\"", at: location))
            return
        }
        for item in items {
            var pattern = item[...]
            var isExclusion = excluded
            while pattern.first == "!" {
                isExclusion.toggle()
                pattern = pattern.dropFirst()
            }
            if pattern.isEmpty {
                problems.append(Diagnostic(.error, "no pattern after '!' in \"\(text)\"", at: location))
            } else if pattern.first == "/" {
                include(String(pattern), excluded: isExclusion, tables: tables, at: location, depth: depth, problems: &problems)
            } else if ListText.isTable(pattern), IPNetwork(pattern) == nil {
                do throws(ConfigurationError) {
                    let table = try tables.open(String(pattern), at: location)
                    watchedFiles += table.watchedFiles
                    entries.append(Entry(isExclusion: isExclusion, pattern: .table(table)))
                } catch { problems += error.diagnostics }
            } else {
                entries.append(Entry(isExclusion: isExclusion, pattern: .text(String(pattern))))
            }
        }
    }

    private mutating func include(
        _ path: String,
        excluded: Bool,
        tables: TableRegistry,
        at location: SourceLocation?,
        depth: Int,
        problems: inout [Diagnostic]
    ) {
        guard depth < Self.maximumDepth else {
            problems.append(Diagnostic(.error, "files include each other too deeply at \(path)", at: location))
            return
        }
        watchedFiles.append(path)
        do throws(ConfigurationError) {
            for line in try SourceText.logicalLines(ofFile: path, at: location) {
                add(line.text, excluded: excluded, tables: tables, at: line.location, depth: depth + 1, problems: &problems)
            }
        } catch { problems += error.diagnostics }
    }
}
