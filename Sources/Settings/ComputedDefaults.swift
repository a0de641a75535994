internal import SMTPCore

/// The defaults that come from the machine.
enum ComputedDefaults {
    /// `myhostname` and `mydomain`.
    static func names(facts: HostFacts, view: ParameterView) -> [(String, String)] {
        var view = view
        let domain = view.expandedDefinition("mydomain")
        let hostName = facts.defaultHostName(domain: domain)
        view.computed["myhostname"] = hostName
        let name = view.expandedDefinition("myhostname") ?? hostName
        return [("myhostname", hostName), ("mydomain", HostFacts.defaultDomain(hostName: name))]
    }

    /// `mynetworks`, from `mynetworks_style` and the interfaces that `inet_interfaces` and `inet_protocols` leave.
    static func networks(own: OwnAddresses, view: ParameterView) -> String {
        var expander = view.expander()
        let style = (try? expander.expand("${mynetworks_style}"))?.trimmed().lowercased() ?? "host"
        return HostFacts.defaultNetworks(style: style, interfaces: own.interfaces)
    }
}

extension ParameterView {
    /// With myhostname, mydomain and mynetworks computed for a machine.
    func withComputedDefaults(_ environment: LoadEnvironment) -> ParameterView {
        var view = self
        for (name, value) in ComputedDefaults.names(facts: environment.facts, view: view) { view.computed[name] = value }
        view.computed["mynetworks"] = ComputedDefaults.networks(own: OwnAddresses(view: view, environment: environment), view: view)
        return view
    }

    /// The expanded value of a name that is set; nil when it is not, or empty.
    fileprivate func expandedDefinition(_ name: String) -> String? {
        guard let definition = definition(of: name) else { return nil }
        var expander = expander()
        guard let value = try? expander.expand(definition.value).trimmed(), !value.isEmpty else { return nil }
        return value
    }
}

/// The addresses this mail system has and listens on: inet_interfaces and inet_protocols made concrete.
struct OwnAddresses {
    /// The interfaces whose addresses are ours.
    let interfaces: [HostFacts.Interface]
    /// What a bare port in master.cf listens on.
    let listen: [IPAddress]
    let usesIPv4: Bool
    let usesIPv6: Bool
    private(set) var diagnostics: [Diagnostic] = []

    init(view: ParameterView, environment: LoadEnvironment) {
        var expander = view.expander()
        func list(_ name: String) -> [String] {
            ListSyntax.elements((try? expander.expand("${\(name)}")) ?? "").map { $0.lowercased() }
        }
        let protocols = list("inet_protocols")
        let all = protocols.contains("all")
        let v4 = all || protocols.contains("ipv4")
        let v6 = (all || protocols.contains("ipv6")) && environment.hasIPv6
        usesIPv4 = v4
        usesIPv6 = v6
        if protocols.contains("ipv6"), !environment.hasIPv6 {
            diagnostics.append(
                Diagnostic(
                    .error,
                    "inet_protocols names ipv6, but this system has none",
                    at: view.definition(of: "inet_protocols")?.location
                )
            )
        }
        func isUsed(_ address: IPAddress) -> Bool { address.bitWidth == 32 ? v4 : v6 }

        let known = environment.facts.interfaces.filter { isUsed($0.address) }
        let words = list("inet_interfaces")
        if words.contains("all") {
            interfaces = known
            listen = (v4 ? [.v4(0)] : []) + (v6 ? [.v6(high: 0, low: 0)] : [])
        } else if words.contains("loopback-only") {
            interfaces = known.filter(\.address.isLoopback)
            listen = (v4 ? [.v4(0x7F00_0001)] : []) + (v6 ? [.v6(high: 0, low: 1)] : [])
        } else {
            let location = view.definition(of: "inet_interfaces")?.location
            var addresses: [IPAddress] = []
            for word in words {
                let found = Self.addresses(of: word, environment: environment).filter(isUsed)
                if found.isEmpty { diagnostics.append(Diagnostic(.error, "inet_interfaces: \(word) has no address here", at: location)) }
                addresses += found.filter { !addresses.contains($0) }
            }
            if words.isEmpty { diagnostics.append(Diagnostic(.error, "inet_interfaces is empty", at: location)) }
            interfaces = addresses.map { address in
                known.first { $0.address == address } ?? .init(address: address, prefixLength: address.bitWidth)
            }
            listen = addresses
        }
    }

    /// Whether a service may listen on the address under inet_protocols.
    func isUsed(_ address: IPAddress) -> Bool { address.bitWidth == 32 ? usesIPv4 : usesIPv6 }

    /// The addresses of `192.0.2.1`, `[::1]` or a host name.
    static func addresses(of word: String, environment: LoadEnvironment) -> [IPAddress] {
        let bare = word.hasPrefix("[") && word.hasSuffix("]") ? String(word.dropFirst().dropLast()) : word
        if let address = IPAddress(bare) { return [address] }
        return environment.resolve(bare)
    }
}
