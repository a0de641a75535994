import Cleanup
import Routing
import SMTPCore

/// What becomes of the addresses in one message's headers.
struct HeaderRewriting: Sendable {
    let router: AddressRouter
    let maps: AddressMaps
    /// `remote_header_rewrite_domain`; nil for local clients.
    let remoteDomain: String?
    /// `header_address_token_limit`.
    let tokenLimit: Int

    /// Whether ``mapped(_:warnings:)`` is needed, because tables are to be asked.
    func asksTables(for header: AddressHeader) -> Bool { maps.changes(Self.place(of: header)) }

    private static func place(of header: AddressHeader) -> AddressMaps.Place {
        header.side == .sender ? .headerSender : .headerRecipient
    }

    private func completed(_ mailbox: AddressList.Mailbox) -> Address {
        router.rewrite(mailbox.address, isQuoted: mailbox.isQuoted, domain: remoteDomain)
    }

    /// The header's addresses where one of them has changed, nil otherwise: such a header stays as it was written.
    func rewritten(_ header: AddressHeader) -> AddressList? {
        guard var list = header.addresses(tokenLimit: tokenLimit) else { return nil }
        var hasChanged = list.hadRoute
        for (index, mailbox) in list.mailboxes.enumerated() {
            let address = completed(mailbox)
            guard address != mailbox.address else { continue }
            list.replace(index, with: address)
            hasChanged = true
        }
        return hasChanged ? list : nil
    }

    /// As ``rewritten(_:)``, with canonical mapping and masquerading.
    @inline(never)
    func mapped(_ header: AddressHeader, warnings: inout [String]) async throws(AddressMapFailure) -> AddressList? {
        guard var list = header.addresses(tokenLimit: tokenLimit) else { return nil }
        var hasChanged = list.hadRoute
        for (index, mailbox) in list.mailboxes.enumerated() {
            let address = try await maps.map(completed(mailbox), in: Self.place(of: header), router, warnings: &warnings)
            guard address != mailbox.address else { continue }
            list.replace(index, with: address)
            hasChanged = true
        }
        return hasChanged ? list : nil
    }
}
