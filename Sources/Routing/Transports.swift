import SMTPCore
package import Settings
package import Tables

/// `transport:nexthop` as parameters and `transport_maps` write it.
struct TransportSpec: Sendable, Hashable {
    var transport: String
    var nextHop: String

    init(_ text: String) {
        if let colon = text.firstIndex(of: ":") {
            transport = String(text[..<colon])
            nextHop = ListText.trimmed(text[text.index(after: colon)...])
        } else {
            transport = text
            nextHop = ""
        }
    }
}

/// The transports of the address classes, and the tables that choose others.
struct Transports: Sendable {
    let local: TransportSpec
    let virtual: TransportSpec
    let relay: TransportSpec
    let `default`: TransportSpec
    let relayHost: String
    /// What stands in for local(8), which is not built in.
    let mailbox: MailboxDelivery
    let addressLookup: AddressLookup
    private let transportMaps: TableList
    private let transportMapsMatchSubdomains: Bool
    private let senderRelayHosts: TableList
    private let senderTransports: TableList
    private let relocated: TableList
    private let nullSenderKey: String

    init(settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        var problems: [Diagnostic] = []
        func maps(_ name: String) -> TableList {
            do throws(ConfigurationError) {
                return try tables.list(ofParameter: name, settings)
            } catch {
                problems += error.diagnostics
                return .empty
            }
        }
        func transport(_ name: String) -> TransportSpec {
            let spec = TransportSpec(settings.text(name))
            if spec.transport.isEmpty {
                problems.append(Diagnostic(.error, "\(name): no transport in \"\(settings.text(name))\"", at: settings.location(of: name)))
            }
            return spec
        }
        local = transport("local_transport")
        virtual = transport("virtual_transport")
        relay = transport("relay_transport")
        `default` = transport("default_transport")
        relayHost = settings.text("relayhost")
        addressLookup = AddressLookup(
            recipientDelimiter: settings.text("recipient_delimiter"),
            ownerRequestSpecial: settings.bool("owner_request_special")
        )
        transportMaps = maps("transport_maps")
        let parents = ListText.items(settings.text("parent_domain_matches_subdomains")) ?? []
        transportMapsMatchSubdomains = parents.contains("transport_maps")
        senderRelayHosts = maps("sender_dependent_relayhost_maps")
        senderTransports = maps("sender_dependent_default_transport_maps")
        relocated = maps("relocated_maps")
        nullSenderKey = "<>"
        mailbox = MailboxDelivery(settings: settings, maps: maps("mailbox_transport_maps"), fallbackMaps: maps("fallback_transport_maps"))
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    /// What `transport_maps` say: `user+ext@domain`, `user@domain`, `domain`, its parents, `*`.
    func override(for address: Address) async -> LookupResult {
        if transportMaps.isEmpty { return .notFound }
        let domain = address.domain ?? ""
        var isFirst = true
        for part in addressLookup.localParts(address.localPart) {
            for form in AddressLookup.forms(of: part) {
                switch await transportMaps.lookup("\(form)@\(domain)", partial: !isFirst) {
                case .notFound: isFirst = false
                case let answer: return answer
                }
            }
        }
        let parents = domain.first == "[" ? [domain] : DomainName.walk(domain, subdomains: transportMapsMatchSubdomains)
        for key in parents + ["*"] {
            switch await transportMaps.lookup(key, partial: true) {
            case .notFound: continue
            case let answer: return answer
            }
        }
        return .notFound
    }

    func relayHost(for sender: Address) async -> LookupResult { await find(sender, in: senderRelayHosts) }

    func defaultTransport(for sender: Address) async -> LookupResult {
        let answer = await find(sender, in: senderTransports)
        if case .found(let text) = answer, DomainName.folded(text) == "dunno" { return .notFound }
        return answer
    }

    func relocation(of address: Address, isLocal: Bool) async -> LookupResult {
        await addressLookup.find(address, in: relocated, isLocal: isLocal)
    }

    private func find(_ sender: Address, in tables: TableList) async -> LookupResult {
        if sender.isNull { return tables.isEmpty ? .notFound : await tables.lookup(nullSenderKey) }
        return await addressLookup.find(sender, in: tables, isLocal: false)
    }

    func mailboxDelivery(_ resolution: AddressResolution) async -> AddressResolution {
        resolution.transport == "local" ? await mailbox.deliver(resolution) : resolution
    }
}

extension TableRegistry {
    /// Opens the tables that a parameter of type "lookup tables" names.
    ///
    /// `nis:mail.aliases` stands in the default of `alias_maps`, whether the host knows NIS or not: it is passed over unless the administrator
    /// wrote it.
    package func list(ofParameter name: String, _ settings: ServiceSettings) throws(ConfigurationError) -> TableList {
        let location = settings.cause(of: name)
        guard let items = ListText.items(settings.text(name)) else {
            throw ConfigurationError("\(name): braces do not balance", at: location)
        }
        let wanted = settings.isDefault("alias_maps") ? items.filter { $0 != "nis:mail.aliases" } : items
        return try list(wanted, at: location)
    }
}
