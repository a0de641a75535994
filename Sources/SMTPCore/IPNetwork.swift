/// A block of addresses: `192.0.2.0/24`, `2001:db8::/32`, or a single address.
package struct IPNetwork: Sendable, Hashable, CustomStringConvertible {
    package let base: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    package let prefixLength: Int

    /// nil if the prefix is out of range or `base` has bits set beyond it.
    package init?(_ base: IPAddress, prefixLength: Int) {
        guard (0...base.bitWidth).contains(prefixLength), base.masked(to: prefixLength) == base else { return nil }
        self.base = base
        self.prefixLength = prefixLength
    }

    /// The network that `address` is in. `prefixLength` must lie within the address's width.
    package init(masking address: IPAddress, prefixLength: Int) {
        base = address.masked(to: prefixLength)
        self.prefixLength = prefixLength
    }

    /// Parses `address` or `address/prefix`; IPv6 may stand in brackets (`[::1]/128`). nil on bad syntax or host bits set.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var host = parts[0]
        if host.first == "[", host.last == "]" { host = host.dropFirst().dropLast() }
        guard let address = IPAddress(host) else { return nil }
        if parts.count == 1 {
            self.init(address, prefixLength: address.bitWidth)
        } else {
            guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(parts[1]) else { return nil }
            self.init(address, prefixLength: length)
        }
    }

    package func contains(_ address: IPAddress) -> Bool {
        address.bitWidth == base.bitWidth && address.masked(to: prefixLength) == base
    }

    package var description: String { "\(base)/\(prefixLength)" }
}

extension IPAddress {
    /// The address with all bits after the first `prefixLength` cleared. `prefixLength` must lie within the address's width.
    package func masked(to prefixLength: Int) -> IPAddress {
        switch self {
        case .v4(let value): .v4(prefixLength == 0 ? 0 : value & (UInt32.max << UInt32(32 - prefixLength)))
        case .v6(let high, let low):
            .v6(
                high: prefixLength == 0 ? 0 : high & (UInt64.max << UInt64(max(0, 64 - prefixLength))),
                low: prefixLength <= 64 ? 0 : low & (UInt64.max << UInt64(128 - prefixLength))
            )
        }
    }
}
