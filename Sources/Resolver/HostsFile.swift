package import SMTPCore

/// The contents of `/etc/hosts`.
package struct HostsFile: Sendable, Hashable {
    private var addressesByName: [String: [IPAddress]] = [:]
    private var nameByAddress: [IPAddress: String] = [:]

    package init() {}

    /// Parses hosts(5): an address, its canonical name, aliases, `#` comments. Lines that are not of this form are passed over, as the C
    /// library does.
    package init(parsing text: String) {
        for line in text.utf8.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            let content = line.prefix { $0 != UInt8(ascii: "#") }
            let words = content.split { $0 == 0x20 || $0 == 0x09 }.compactMap { String(Substring($0)) }
            guard words.count > 1, let address = IPAddress(words[0])?.unmapped else { continue }
            for word in words.dropFirst() {
                let name = Self.key(word)
                if !name.isEmpty, addressesByName[name]?.contains(address) != true { addressesByName[name, default: []].append(address) }
            }
            if nameByAddress[address] == nil { nameByAddress[address] = words[1] }
        }
    }

    /// Every address given to `name` or alias `name`, in the order of the file; empty if there is none.
    package func addresses(of name: String) -> [IPAddress] { addressesByName.isEmpty ? [] : addressesByName[Self.key(name)] ?? [] }

    /// The canonical name on the first line of `address`.
    package func name(of address: IPAddress) -> String? { nameByAddress[address] }

    private static func key(_ name: String) -> String {
        let name = name.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }
}
