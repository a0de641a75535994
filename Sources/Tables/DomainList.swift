package import Settings

/// A list of domains as `mydestination` or `relay_domains` have it: names, `.name`, `!` exclusions, `/file`, `type:table`. First match wins.
package struct DomainList: Sendable {
    /// How the items are compared.
    package enum Matching: Sendable, Hashable {
        /// The whole string only: `mydestination`, `virtual_alias_domains`, `virtual_mailbox_domains`.
        case exact
        /// `example.com` stands for its subdomains too: parameters that `parent_domain_matches_subdomains` names.
        case subdomains
        /// Subdomains need a leading dot: `.example.com`.
        case dotted
    }

    private let entries: [PatternList.Entry]
    private let matching: Matching
    /// The files the list was read from.
    package let watchedFiles: [String]

    package init(_ text: String, matching: Matching, tables: TableRegistry, at location: SourceLocation? = nil) throws(ConfigurationError) {
        self.matching = matching
        var problems: [Diagnostic] = []
        let list = PatternList(text, tables: tables, at: location, problems: &problems)
        if !problems.isEmpty { throw ConfigurationError(problems) }
        watchedFiles = list.watchedFiles
        entries = list.entries.map { entry in
            guard case .text(let text) = entry.pattern else { return entry }
            return PatternList.Entry(isExclusion: entry.isExclusion, pattern: .text(DomainName.folded(text)))
        }
    }

    package var isEmpty: Bool { entries.isEmpty }

    /// The names written in the list itself, in lower case; not those of tables and exclusions.
    package var literals: [String] {
        entries.compactMap { if case .text(let name) = $0.pattern, !$0.isExclusion { name } else { nil } }
    }

    package func contains(_ domain: String) async -> ListMatch {
        let name = DomainName.folded(domain)
        for entry in entries {
            let isMatch: Bool
            switch entry.pattern {
            case .text(let pattern):
                isMatch =
                    matching == .exact ? name == pattern : DomainName.matches(name, pattern: pattern, subdomains: matching == .subdomains)
            case .table(let table):
                switch await DomainName.lookup(name, in: table, subdomains: matching == .exact ? nil : matching == .subdomains) {
                case .found: isMatch = true
                case .notFound: isMatch = false
                case .failed(let reason): return .failed(reason)
                }
            }
            if isMatch { return entry.isExclusion ? .no : .yes }
        }
        return .no
    }
}
