package import SMTPCore

/// What the configuration takes from the machine: the source of the computed defaults. Gathered once, at the edge.
package struct HostFacts: Sendable {
    /// One address of a network interface.
    package struct Interface: Sendable, Hashable {
        package var address: IPAddress
        package var prefixLength: Int

        package init(address: IPAddress, prefixLength: Int) {
            self.address = address
            self.prefixLength = prefixLength
        }
    }

    /// What gethostname(2) says.
    package var hostName: String
    package var interfaces: [Interface]

    package init(hostName: String, interfaces: [Interface]) {
        self.hostName = hostName
        self.interfaces = interfaces
    }

    /// `myhostname`'s default: the host name, completed with `mydomain` or `localdomain` if it has no dot.
    package func defaultHostName(domain: String?) -> String {
        hostName.contains(".") ? hostName : "\(hostName).\(domain ?? "localdomain")"
    }

    /// `mydomain`'s default: `myhostname` without its first label.
    package static func defaultDomain(hostName: String) -> String {
        guard let dot = hostName.firstIndex(of: ".") else { return "localdomain" }
        return String(hostName[hostName.index(after: dot)...])
    }

    /// `mynetworks`' default for a `mynetworks_style` of host, subnet or class, from the given interfaces.
    package static func defaultNetworks(style: String, interfaces: [Interface]) -> String {
        var seen: Set<String> = []
        let networks = interfaces.map { interface -> String in
            let length =
                switch (style, interface.address) {
                case ("host", let address): address.bitWidth
                case ("class", .v4(let value)): classLength(value)
                case (_, _): interface.prefixLength
                }
            let base = interface.address.masked(to: length)
            return if case .v6 = base { "[\(base)]/\(length)" } else { "\(base)/\(length)" }
        }
        return networks.filter { seen.insert($0).inserted }.joined(separator: " ")
    }

    private static func classLength(_ value: UInt32) -> Int {
        switch value >> 24 {
        case ..<128: 8
        case ..<192: 16
        case ..<224: 24
        default: 32
        }
    }
}
