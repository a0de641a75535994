import SMTPCore
import Settings
import Tables

/// `virtual_alias_maps`: recipients that stand for others (virtual(5)).
struct VirtualAliases: Sendable {
    let map: AddressMap
    private let expansionLimit: Int
    private let recursionLimit: Int
    private let lengthLimit: Int

    init(_ settings: ServiceSettings, _ registry: TableRegistry) throws(ConfigurationError) {
        map = try AddressMap("virtual_alias_maps", settings, registry, propagates: "virtual")
        expansionLimit = settings.integer("virtual_alias_expansion_limit")
        recursionLimit = settings.integer("virtual_alias_recursion_limit")
        lengthLimit = settings.integer("virtual_alias_address_length_limit")
    }

    /// Everyone `address` stands for; itself where it is no alias.
    func expand(_ address: Address, _ router: AddressRouter) async throws(AddressMapFailure) -> [Address] {
        if map.isEmpty { return [address] }
        var finished: [Address] = []
        var open: [(address: Address, depth: Int)] = [(address, 0)]
        while let (current, depth) = open.popLast() {
            // Negative: an alias that names itself ends there.
            guard depth >= 0, let found = try await map.find(current, router) else {
                finished.append(current)
                continue
            }
            guard depth < recursionLimit else { throw failure("map nesting for \(address)") }
            for next in found.reversed() {
                guard next.internalForm.utf8.count <= lengthLimit else {
                    throw failure("result \(String(next.description.prefix(100)))...")
                }
                open.append((next, next.isSame(as: current) ? -1 : depth + 1))
            }
            guard finished.count + open.count <= expansionLimit else { throw failure("map expansion size for \(address)") }
        }
        return finished
    }

    private func failure(_ text: String) -> AddressMapFailure {
        AddressMapFailure(kind: .expansion, text: "unreasonable \(map.name) \(text) -- message not accepted, try again later")
    }
}
