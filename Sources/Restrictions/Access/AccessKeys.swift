import Routing
import SMTPCore
import Tables

/// The answer of an access table and the key it was found under.
enum AccessAnswer {
    case found(String, key: String)
    case notFound
    case failed(String, key: String)
}

/// Asks access tables in the order of access(5). The first key is whole, the others are partial: tables of patterns do not see those.
struct AccessKeys {
    let table: any LookupTable

    /// The first key that the table has.
    private func first(_ keys: some Sequence<String>, wholeKeys: Int = 1) async -> AccessAnswer {
        for (index, key) in keys.enumerated() {
            if index >= wholeKeys, table.takesWholeKeysOnly { break }
            switch await table.lookup(key) {
            case .found(let value): return .found(value, key: key)
            case .failed(let reason): return .failed(reason, key: key)
            case .notFound: continue
            }
        }
        return .notFound
    }

    /// The name, then its parent domains; an IP address has none.
    func domain(_ name: String, matchesSubdomains: Bool) async -> AccessAnswer {
        if IPAddress(name) != nil || name.utf8.first == UInt8(ascii: "[") { return await first([name]) }
        return await first(DomainName.walk(name, subdomains: matchesSubdomains))
    }

    /// The address, then its networks by whole octets (IPv6: by groups of the compressed text).
    func address(_ address: IPAddress) async -> AccessAnswer {
        let text = address.description
        let separator: Character = if case .v4 = address { "." } else { ":" }
        var keys = [text]
        var rest = text[...]
        while let cut = rest.lastIndex(of: separator) {
            rest = rest[..<cut]
            // `2001:db8::` has two separators in a row: the one that is left is no part of the network.
            while rest.last == separator { rest = rest.dropLast() }
            if rest.isEmpty { break }
            keys.append(String(rest))
        }
        return await first(keys)
    }

    /// The name with its parents, then the address with its networks.
    func nameAndAddress(_ name: String, _ address: IPAddress, matchesSubdomains: Bool) async -> AccessAnswer {
        let answer = await domain(name, matchesSubdomains: matchesSubdomains)
        if case .notFound = answer { return await self.address(address) }
        return answer
    }

    /// `user+ext@domain`, `user@domain`, the domain and its parents, `user+ext@`, `user@`; quoted forms before unquoted ones.
    func mailbox(_ address: Address, _ lookup: AddressLookup, matchesSubdomains: Bool) async -> AccessAnswer {
        let domain = address.domain ?? ""
        let locals = lookup.localParts(address.localPart)
        let wholeForms = AddressLookup.forms(of: address.localPart).map { "\($0)@\(domain)" }
        let partial =
            locals.dropFirst().flatMap { AddressLookup.forms(of: $0).map { "\($0)@\(domain)" } }
            + (domain.first == "[" ? [domain] : DomainName.walk(domain, subdomains: matchesSubdomains))
            + locals.flatMap { AddressLookup.forms(of: $0).map { "\($0)@" } }
        return await first(wholeForms + partial, wholeKeys: wholeForms.count)
    }

    /// The key as it is.
    func whole(_ key: String) async -> AccessAnswer { await first([key]) }
}
