import NIOCore
package import Settings
package import Tables

extension ServiceSettings {
    /// A time parameter, as timers take it.
    func timeAmount(_ name: String) -> TimeAmount { TimeAmount(duration(name)) }
}

extension NetworkList {
    init(_ settings: ServiceSettings, _ name: String, tables: TableRegistry) throws(ConfigurationError) {
        let parents = ListText.items(settings.text("parent_domain_matches_subdomains")) ?? []
        try self.init(
            settings.text(name),
            matchesSubdomains: parents.contains(name),
            tables: tables,
            at: settings.location(of: name)
        )
    }
}

extension DomainList {
    /// `fast_flush_domains`.
    package init(fastFlush settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        let name = "fast_flush_domains"
        let parents = ListText.items(settings.text("parent_domain_matches_subdomains")) ?? []
        let matching: Matching = parents.contains(name) ? .subdomains : .dotted
        try self.init(settings.text(name), matching: matching, tables: tables, at: settings.cause(of: name))
    }
}

/// A list of words and tables that a command's first word is looked up in (`smtpd_forbidden_commands`, `smtpd_noop_commands`).
struct WordList: Sendable {
    private var words: Set<String> = []
    private var tables: [any LookupTable] = []
    /// The stock `regexp:{{/^[^A-Z]/ Bogus}}` without a regular expression: any word that does not begin with a letter.
    private var matchesNonLetters = false

    private static let stockPattern = "regexp:{{/^[^A-Z]/ Bogus}}"

    init(_ settings: ServiceSettings, _ name: String, tables registry: TableRegistry) throws(ConfigurationError) {
        var problems = ProblemCollector()
        for item in ListText.items(settings.text(name)) ?? [] {
            if item == Self.stockPattern {
                matchesNonLetters = true
            } else if ListText.isTable(item) {
                if let table = problems.collect(try registry.open(item, at: settings.location(of: name))) { tables.append(table) }
            } else {
                words.insert(item.lowercased())
            }
        }
        if problems.hasErrors { throw problems.error }
    }

    var isEmpty: Bool { words.isEmpty && tables.isEmpty }

    /// Whether `word` (in any case) is listed. A failing table counts as no match: a command is then judged on its own merits.
    func contains(_ word: String) async -> Bool {
        if matchesNonLetters, let first = word.utf8.first, !(0x41...0x5A).contains(first & ~0x20) { return true }
        if isEmpty { return false }
        let folded = word.lowercased()
        if words.contains(folded) { return true }
        return tables.isEmpty ? false : await isInTables(folded)
    }

    @inline(never)
    private func isInTables(_ word: String) async -> Bool {
        for table in tables {
            if case .found = await table.lookup(word) { return true }
        }
        return false
    }
}
