import Cleanup
import Routing
import SMTPCore

/// What becomes of the addresses in one message's headers.
struct HeaderRewriting: Sendable {
    let router: AddressRouter
    /// `remote_header_rewrite_domain`; nil for local clients.
    let remoteDomain: String?
    /// `header_address_token_limit`.
    let tokenLimit: Int

    /// The header's addresses where one of them has changed, nil otherwise: such a header stays as it was written.
    func rewritten(_ header: AddressHeader) -> AddressList? {
        guard var list = header.addresses(tokenLimit: tokenLimit) else { return nil }
        var hasChanged = false
        for (index, mailbox) in list.mailboxes.enumerated() {
            let address = router.rewrite(mailbox.address, isQuoted: mailbox.isQuoted, domain: remoteDomain)
            guard address != mailbox.address else { continue }
            list.replace(index, with: address)
            hasChanged = true
        }
        return hasChanged ? list : nil
    }
}
