package import SMTPCore
package import Settings

/// A list of clients as `mynetworks` has it: addresses, `address/prefix`, host names, `!` exclusions, `/file`, `type:table`. First match wins.
package struct NetworkList: Sendable {
    private enum Matcher: Sendable {
        case network(IPNetwork)
        case name(String)
        case table(any LookupTable)
    }

    private var entries: [(isExclusion: Bool, matcher: Matcher)] = []
    private let matchesSubdomains: Bool
    /// The files the list was read from.
    package let watchedFiles: [String]

    /// - Parameter matchesSubdomains: whether `parent_domain_matches_subdomains` names the parameter.
    package init(
        _ text: String,
        matchesSubdomains: Bool = true,
        tables: TableRegistry,
        at location: SourceLocation? = nil
    ) throws(ConfigurationError) {
        self.matchesSubdomains = matchesSubdomains
        var problems: [Diagnostic] = []
        let list = PatternList(text, tables: tables, at: location, problems: &problems)
        watchedFiles = list.watchedFiles
        for entry in list.entries {
            switch entry.pattern {
            case .table(let table): entries.append((entry.isExclusion, .table(table)))
            case .text(let text):
                if let network = IPNetwork(text) {
                    entries.append((entry.isExclusion, .network(network)))
                } else if let problem = Self.problem(ofNetwork: text) {
                    problems.append(Diagnostic(.error, problem, at: location))
                } else {
                    entries.append((entry.isExclusion, .name(DomainName.folded(text))))
                }
            }
        }
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    /// Matches the address and, unless empty, the verified host name.
    package func contains(_ address: IPAddress, name: String = "") async -> ListMatch {
        let host = DomainName.folded(name)
        // Most lists hold no table: the frames that asking one takes are not spent on them.
        return if let answer = answerWithoutTables(address, host) { answer } else { await answerWithTables(address, host) }
    }

    /// nil when the answer depends on a table.
    private func answerWithoutTables(_ address: IPAddress, _ host: String) -> ListMatch? {
        for entry in entries {
            switch entry.matcher {
            case .network(let network): if network.contains(address) { return entry.isExclusion ? .no : .yes }
            case .name(let pattern):
                if !host.isEmpty, DomainName.matches(host, pattern: pattern, subdomains: matchesSubdomains) {
                    return entry.isExclusion ? .no : .yes
                }
            case .table: return nil
            }
        }
        return .no
    }

    @inline(never)
    private func answerWithTables(_ address: IPAddress, _ host: String) async -> ListMatch {
        for entry in entries {
            var isMatch = false
            switch entry.matcher {
            case .network(let network): isMatch = network.contains(address)
            case .name(let pattern): isMatch = !host.isEmpty && DomainName.matches(host, pattern: pattern, subdomains: matchesSubdomains)
            case .table(let table):
                switch await DomainName.lookup(host, in: table, subdomains: matchesSubdomains) {
                case .found: isMatch = true
                case .failed(let reason): return .failed(reason)
                case .notFound:
                    switch await table.lookup(address.description) {
                    case .found: isMatch = true
                    case .failed(let reason): return .failed(reason)
                    case .notFound: break
                    }
                }
            }
            if isMatch { return entry.isExclusion ? .no : .yes }
        }
        return .no
    }

    /// What is wrong with something that was meant as a network: an item that does not look like a host name.
    static func problem(ofNetwork text: String) -> String? {
        guard text.utf8.contains(UInt8(ascii: "/")) || text.utf8.contains(UInt8(ascii: ":")) || text.utf8.allSatisfy(isDigitOrDot) else {
            return nil
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        if parts.count == 2, let base = IPNetwork(parts[0])?.base, let length = Int(parts[1]), (0...base.bitWidth).contains(length) {
            let fixed = IPNetwork(base.masked(to: length), prefixLength: length).map { "\($0)" } ?? ""
            return "non-null host address bits in \"\(text)\", perhaps you should use \"\(fixed)\" instead"
        }
        return "bad net/mask pattern: \"\(text)\""
    }

    private static func isDigitOrDot(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) || byte == UInt8(ascii: ".") }
}
