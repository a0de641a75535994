import SMTPCore
import Settings
import Tables

/// `masquerade_domains`: `user@host.example.com` becomes `user@example.com`.
struct Masquerade: Sendable {
    private let domains: [(name: String, isKept: Bool)]
    /// `masquerade_exceptions`.
    private let exceptions: Set<String>

    init(_ settings: ServiceSettings) throws(ConfigurationError) {
        func words(_ name: String) throws(ConfigurationError) -> [String] {
            let words = settings.list(name)
            if let word = words.first(where: { ListText.isTable($0) || $0.hasPrefix("/") }) {
                throw ConfigurationError("\(name): \"\(word)\": tables and files are not implemented", at: settings.location(of: name))
            }
            return words.map(DomainName.folded)
        }
        var problems = ProblemCollector()
        let domains = problems.collect(try words("masquerade_domains"))
        let exceptions = problems.collect(try words("masquerade_exceptions"))
        guard let domains, let exceptions else { throw problems.error }
        self.domains = domains.map { $0.hasPrefix("!") ? (String($0.dropFirst()), true) : ($0, false) }
        self.exceptions = Set(exceptions)
    }

    var isEmpty: Bool { domains.isEmpty }

    /// The first domain that `address` lies in decides.
    func apply(_ address: Address) -> Address {
        guard let given = address.domain, !exceptions.contains(DomainName.folded(address.localPart)) else { return address }
        let domain = DomainName.folded(given)
        for (name, isKept) in domains {
            if domain == name { return address }
            guard domain.hasSuffix("." + name) else { continue }
            return isKept ? address : Address(localPart: address.localPart, domain: name)
        }
        return address
    }
}
