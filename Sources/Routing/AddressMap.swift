import SMTPCore
import Settings
import Tables

/// Why an address could not be mapped; nothing may be accepted then.
package struct AddressMapFailure: Error, Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
        /// A table did not answer, or answered with what is no address.
        case lookup
        /// An alias without end, or with too many results.
        case expansion
    }

    package let kind: Kind
    /// For the log, without queue id.
    package let text: String
}

/// A table of addresses whose answers are addresses: the value of one parameter.
struct AddressMap: Sendable {
    /// The parameter's name, for the log.
    let name: String
    let tables: TableList
    /// `propagate_unmatched_extensions`: the extension that the key did not have is put into the answer.
    let propagatesExtension: Bool

    init(_ name: String, _ settings: ServiceSettings, _ registry: TableRegistry, propagates word: String = "") throws(ConfigurationError) {
        self.name = name
        tables = try registry.list(ofParameter: name, settings)
        propagatesExtension = settings.list("propagate_unmatched_extensions").contains(word)
    }

    var isEmpty: Bool { tables.isEmpty }

    /// The addresses that stand for `address`, completed; nil where no table has it.
    func find(_ address: Address, _ router: AddressRouter) async throws(AddressMapFailure) -> [Address]? {
        if tables.isEmpty { return nil }
        let (answer, extensionText) = await lookup(address, router)
        switch answer {
        case .notFound: return nil
        case .failed(let reason): throw failure("map lookup problem for \(address) -- message not accepted, try again later: \(reason)")
        case .found(let text):
            // What is no list of addresses goes nowhere, rather than to somebody it resembles.
            guard let list = AddressList.parse(text.utf8), !list.mailboxes.isEmpty, list.isReadable else {
                throw failure("entry for \(address) is no list of addresses -- message not accepted, try again later")
            }
            return list.mailboxes.map { mailbox in
                var result = mailbox.address
                if result.localPart.isEmpty, result.domain != nil { result.localPart = address.localPart }
                if propagatesExtension { result.localPart += extensionText }
                return router.rewrite(result, isQuoted: mailbox.isQuoted)
            }
        }
    }

    private func lookup(_ address: Address, _ router: AddressRouter) async -> (answer: LookupResult, unmatchedExtension: String) {
        // As cleanup(8) writes the null sender.
        if address.isNull { return (await tables.lookup("\"\""), "") }
        let isLocal = await router.isLocalOrOrigin(address.domain ?? "")
        return await router.addressLookup.findMapping(address, in: tables, isLocal: isLocal)
    }

    private func failure(_ text: String) -> AddressMapFailure { AddressMapFailure(kind: .lookup, text: "\(name) \(text)") }
}

extension Address {
    /// As tables compare.
    func isSame(as other: Address) -> Bool { KeyFolding.folded(internalForm) == KeyFolding.folded(other.internalForm) }
}

extension AddressMap {
    /// The one address that gets a copy of what `address` sends or gets; nil where no table has it.
    func copy(for address: Address, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure) -> Address? {
        guard let found = try await find(address, router) else { return nil }
        if found.count > 1 { warnings.append("multi-valued \(name) entry for \(address)") }
        return found.first
    }

    private static let deepestNesting = 10

    /// The address that `address` becomes when the table is asked again and again (canonical(5)).
    func canonical(_ address: Address, _ router: AddressRouter, warnings: inout [String]) async throws(AddressMapFailure) -> Address {
        var current = address
        for _ in 0..<Self.deepestNesting {
            guard let found = try await find(current, router), let first = found.first else { return current }
            if found.count > 1 { warnings.append("multi-valued \(name) entry for \(current)") }
            if first.isSame(as: current) { return first }
            current = first
        }
        warnings.append("unreasonable \(name) map nesting for \(address)")
        return current
    }
}
