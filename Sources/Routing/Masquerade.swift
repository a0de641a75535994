import SMTPCore
import Settings
import Tables

/// `masquerade_domains`: `user@host.example.com` becomes `user@example.com`.
struct Masquerade: Sendable {
    private let domains: [(name: String, isKept: Bool)]
    /// `masquerade_exceptions`: local parts.
    private let exceptions: DomainList

    init(_ settings: ServiceSettings, _ tables: TableRegistry) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let domains = problems.collect(try Self.domains(settings))
        let name = "masquerade_exceptions"
        let exceptions = problems.collect(
            try DomainList(settings.text(name), matching: .exact, tables: tables, at: settings.location(of: name))
        )
        guard let domains, let exceptions else { throw problems.error }
        self.domains = domains.map { $0.hasPrefix("!") ? (String($0.dropFirst()), true) : ($0, false) }
        self.exceptions = exceptions
    }

    private static func domains(_ settings: ServiceSettings) throws(ConfigurationError) -> [String] {
        let name = "masquerade_domains"
        let words = settings.list(name)
        if let word = words.first(where: { ListText.isTable($0) || $0.hasPrefix("/") }) {
            let text = "\(name): \"\(word)\" is no domain, and tables and files have no place here"
            throw ConfigurationError(text, at: settings.location(of: name))
        }
        return words.map(DomainName.folded)
    }

    var isEmpty: Bool { domains.isEmpty }

    /// The first domain that `address` lies in decides.
    func apply(_ address: Address) async throws(AddressMapFailure) -> Address {
        guard let domain = shortened(address) else { return address }
        // Quoted where it must be, as cleanup(8) holds addresses.
        switch await exceptions.contains(Address(localPart: address.localPart, domain: nil).description) {
        case .yes: return address
        case .no: return Address(localPart: address.localPart, domain: domain)
        case .failed(let reason):
            throw AddressMapFailure(
                kind: .lookup,
                text: "masquerade_exceptions map lookup problem for \(address) -- message not accepted, try again later: \(reason)"
            )
        }
    }

    /// The domain that stands for that of `address`; nil where it stays.
    private func shortened(_ address: Address) -> String? {
        guard let given = address.domain else { return nil }
        let domain = DomainName.folded(given)
        for (name, isKept) in domains {
            if domain == name { return nil }
            guard domain.hasSuffix("." + name) else { continue }
            return isKept ? nil : name
        }
        return nil
    }
}
