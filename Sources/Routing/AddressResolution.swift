package import SMTPCore

/// Postfix's address classes (ADDRESS_CLASS_README): what decides whether a destination is ours, relayed for, or a stranger's.
package enum AddressClass: String, Sendable, Hashable {
    case local
    case virtualAlias
    case virtualMailbox
    case relay
    case `default`
}

/// Where an address leads: the answer of trivial-rewrite(8).
package struct AddressResolution: Sendable, Hashable {
    package enum Outcome: Sendable, Hashable {
        case resolved
        /// Syntax no delivery can follow (`u@[bad`, `u@..dom`): 501 at MAIL or RCPT.
        case illegal
        /// A table failed: 451, never "unknown".
        case failed(String)
    }

    package var outcome: Outcome
    package var addressClass: AddressClass
    /// The transport's name in master.cf: `smtp`, `relay`, `local`, `lmtp`, `error`, ...
    package var transport: String
    /// `[host]:port`, `host`, `unix:path`, or the text for `error` and `retry`.
    package var nextHop: String
    package var recipient: Address
    /// The local part still holds `@`, `!` or `%`: routing specified by the sender, which authorises nothing, whether we follow it or not.
    package var hasSenderSpecifiedRouting: Bool

    package init(
        outcome: Outcome,
        addressClass: AddressClass,
        transport: String,
        nextHop: String,
        recipient: Address,
        hasSenderSpecifiedRouting: Bool = false
    ) {
        self.outcome = outcome
        self.addressClass = addressClass
        self.transport = transport
        self.nextHop = nextHop
        self.recipient = recipient
        self.hasSenderSpecifiedRouting = hasSenderSpecifiedRouting
    }
}
