package import SMTPCore
package import Settings
package import Tables

/// What trivial-rewrite(8) does: completes addresses and says where they lead.
///
/// Immutable; may be used on any loop.
package struct AddressRouter: Sendable {
    let rewriter: AddressRewriter
    let domains: LocalDomains
    let transports: Transports
    /// Findings that do not keep the server from starting.
    package let warnings: [Diagnostic]

    /// - Parameter ownAddresses: the addresses that `inet_interfaces` stands for; with `proxy_interfaces` they make `user@[ip]` local.
    /// - Throws: every problem found.
    package init(settings: ServiceSettings, tables: TableRegistry, ownAddresses: [IPAddress]) throws(ConfigurationError) {
        rewriter = AddressRewriter(settings: settings)
        domains = try LocalDomains(settings: settings, tables: tables, ownAddresses: ownAddresses)
        transports = try Transports(settings: settings, tables: tables)
        warnings = domains.warnings
    }

    /// The address completed as in the "local" rewriting context: `user` becomes `user@$myorigin`, `site!user` and `user%site` become
    /// `user@site`. The null address and complete addresses stay as they are; doing it twice changes nothing.
    package func rewrite(_ address: Address) -> Address { rewriter.rewrite(address) }

    /// Where `address` leads, after ``rewrite(_:)``.
    /// - Parameter sender: what the `sender_dependent_*` tables are asked for; nil where no message is at hand.
    package func resolve(_ address: Address, sender: Address? = nil) async -> AddressResolution {
        await Resolution(router: self).resolve(rewrite(address), sender: sender)
    }
}
