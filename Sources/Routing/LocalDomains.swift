import SMTPCore
import Settings
import Tables

/// Which domains are ours, and in what way: the parameters behind Postfix's address classes.
struct LocalDomains: Sendable {
    let myDestination: DomainList
    let virtualAlias: DomainList
    let virtualMailbox: DomainList
    let relay: DomainList
    /// Addresses that make `user@[ip]` local.
    let ownAddresses: Set<IPAddress>
    let warnings: [Diagnostic]

    init(settings: ServiceSettings, tables: TableRegistry, ownAddresses: [IPAddress]) throws(ConfigurationError) {
        let parents = Set((ListText.items(settings.text("parent_domain_matches_subdomains")) ?? []).map { $0 })
        var problems: [Diagnostic] = []
        func list(_ name: String, _ matching: DomainList.Matching) -> DomainList? {
            do throws(ConfigurationError) {
                return try DomainList(settings.text(name), matching: matching, tables: tables, at: settings.cause(of: name))
            } catch {
                problems += error.diagnostics
                return nil
            }
        }
        let myDestination = list("mydestination", .exact)
        let virtualAlias = list("virtual_alias_domains", .exact)
        let virtualMailbox = list("virtual_mailbox_domains", .exact)
        let relay = list("relay_domains", parents.contains("relay_domains") ? .subdomains : .dotted)
        var own = Set(ownAddresses.map(\.unmapped))
        for item in ListText.items(settings.text("proxy_interfaces")) ?? [] {
            if let address = IPNetwork(item), address.prefixLength == address.base.bitWidth {
                own.insert(address.base.unmapped)
            } else {
                let location = settings.location(of: "proxy_interfaces")
                problems.append(
                    Diagnostic(
                        .error,
                        "proxy_interfaces: \"\(item)\" is not an IP address (host names are not implemented yet)",
                        at: location
                    )
                )
            }
        }
        guard problems.isEmpty, let myDestination, let virtualAlias, let virtualMailbox, let relay else {
            throw ConfigurationError(problems)
        }
        self.myDestination = myDestination
        self.virtualAlias = virtualAlias
        self.virtualMailbox = virtualMailbox
        self.relay = relay
        self.ownAddresses = own
        warnings = Self.overlaps(
            settings: settings,
            lists: [
                ("mydestination", myDestination), ("virtual_alias_domains", virtualAlias), ("virtual_mailbox_domains", virtualMailbox),
            ],
            relay: relay
        )
    }

    /// A domain has one class; Postfix warns at run time, we at start.
    private static func overlaps(settings: ServiceSettings, lists: [(String, DomainList)], relay: DomainList) -> [Diagnostic] {
        var warnings: [Diagnostic] = []
        let all = lists + [("relay_domains", relay)]
        for (index, first) in all.enumerated() {
            for second in all[(index + 1)...] {
                // Below compatibility level 2 relay_domains holds $mydestination by default.
                if first.0 == "mydestination", second.0 == "relay_domains" { continue }
                for name in Set(first.1.literals).intersection(second.1.literals).sorted() {
                    let text = "do not list domain \(name) in BOTH \(first.0) and \(second.0)"
                    warnings.append(Diagnostic(.warning, text, at: settings.location(of: second.0)))
                }
            }
        }
        return warnings
    }

    /// The class of a domain (in lower case) that is not local, in Postfix's order.
    func classifyForeign(_ domain: String) async -> ClassAnswer {
        for (list, kind) in [(virtualAlias, AddressClass.virtualAlias), (virtualMailbox, .virtualMailbox), (relay, .relay)] {
            switch await list.contains(domain) {
            case .yes: return .found(kind)
            case .failed(let reason): return .failed(reason)
            case .no: continue
            }
        }
        return .found(.default)
    }

    enum ClassAnswer: Sendable {
        case found(AddressClass)
        case failed(String)
    }

    /// In `mydestination`, or the literal of an own address; `domain` in lower case.
    func isLocal(_ domain: String) async -> ListMatch {
        if let address = AddressLiteral.address(domain), ownAddresses.contains(address) { return .yes }
        return await myDestination.contains(domain)
    }
}
