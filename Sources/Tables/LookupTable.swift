/// The answer of a lookup table.
package enum LookupResult: Sendable, Hashable {
    case found(String)
    case notFound
    /// The table could not answer; the text is for the log. A caller must never treat this as "not found".
    case failed(String)
}

/// A table of `main.cf`: `type:name`.
package protocol LookupTable: Sendable {
    /// As written in the configuration: `texthash:/etc/postfix/access`.
    var name: String { get }
    /// Tables of patterns (cidr, regexp, pcre) are asked with the whole key only, never with partial keys (domains, prefixes, `@domain`).
    var takesWholeKeysOnly: Bool { get }
    /// The files this table was read from; a change to one of them asks for a new generation.
    var watchedFiles: [String] { get }
    func lookup(_ key: String) async -> LookupResult
}

extension LookupTable {
    package var watchedFiles: [String] { [] }
}

/// Tables asked in order; the first that has the key answers.
package struct TableList: Sendable {
    package let tables: [any LookupTable]

    package init(_ tables: [any LookupTable]) { self.tables = tables }

    package static let empty = TableList([])

    package var isEmpty: Bool { tables.isEmpty }

    package func lookup(_ key: String, partial: Bool = false) async -> LookupResult {
        for table in tables where !(partial && table.takesWholeKeysOnly) {
            switch await table.lookup(key) {
            case .notFound: continue
            case let answer: return answer
            }
        }
        return .notFound
    }
}
