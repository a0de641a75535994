package import SMTPCore
package import Settings
package import Tables

/// What trivial-rewrite(8) does: completes addresses and says where they lead.
///
/// Immutable; may be used on any loop.
package final class AddressRouter: Sendable {
    let rewriter: AddressRewriter
    let domains: LocalDomains
    let transports: Transports
    let interfaceAddresses: Set<IPAddress>
    let myHostname: String
    let emptyAddressRecipient: String
    let resolvesNumericDomains: Bool
    let showsUnknownTable: Bool
    /// How domains beyond ASCII become what the DNS has.
    package let domainEncoder: DomainEncoder
    let allowsMinUser: Bool
    /// Findings that do not keep the server from starting.
    package let warnings: [Diagnostic]
    /// The keys of this configuration's address tables (`recipient_delimiter`).
    package var addressLookup: AddressLookup { transports.addressLookup }

    /// - Parameter ownAddresses: the addresses that `inet_interfaces` stands for; with `proxy_interfaces` they make `user@[ip]` local.
    /// - Throws: every problem found.
    package init(settings: ServiceSettings, tables: TableRegistry, ownAddresses: [IPAddress]) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let domains = problems.collect(try LocalDomains(settings: settings, tables: tables, ownAddresses: ownAddresses))
        let transports = problems.collect(try Transports(settings: settings, tables: tables))
        guard let domains, let transports else { throw problems.error }
        self.domains = domains
        self.transports = transports
        rewriter = AddressRewriter(settings: settings)
        interfaceAddresses = Set(ownAddresses.map(\.unmapped))
        myHostname = settings.text("myhostname")
        emptyAddressRecipient = settings.text("empty_address_recipient")
        resolvesNumericDomains = settings.bool("resolve_numeric_domain")
        showsUnknownTable = settings.bool("show_user_unknown_table_name")
        domainEncoder = DomainEncoder(settings: settings)
        allowsMinUser = settings.bool("allow_min_user")
        warnings = domains.warnings
    }

    /// The address completed as in the "local" rewriting context: `user` becomes `user@$myorigin`, `site!user` and `user%site` become
    /// `user@site`. The null address and complete addresses stay as they are; doing it twice changes nothing.
    package func rewrite(_ address: Address) -> Address { rewriter.rewrite(address) }

    /// A header's address completed; nobody completes it once more, so that the dot of `host.` goes.
    /// - Parameters:
    ///   - isQuoted: it is one quoted string, which names a mailbox and no route.
    ///   - domain: stands for `$myorigin` and `$mydomain` where others than local clients write (`remote_header_rewrite_domain`).
    package func rewrite(_ address: Address, isQuoted: Bool, domain: String? = nil) -> Address {
        var rewriter = rewriter
        if let domain {
            rewriter.myOrigin = domain
            rewriter.myDomain = domain
        }
        var result = rewriter.rewrite(address, isMailboxName: isQuoted)
        result.domain = result.domain.map(AddressRewriter.withoutTrailingDot)
        return result
    }

    /// Where `address` leads, after ``rewrite(_:)``. The null address leads to `$empty_address_recipient@$myhostname`.
    /// - Parameter sender: what the `sender_dependent_*` tables are asked for; nil where no message is at hand.
    package func resolve(_ address: Address, sender: Address? = nil) async -> AddressResolution {
        await Resolution(router: self).resolve(rewrite(address), sender: sender.map(rewrite))
    }

    /// Whether `domain` is this host's own: in `mydestination`, or the literal of an own address.
    package func isLocal(_ domain: String) async -> ListMatch { await domains.isLocal(DomainName.folded(domain)) }

    /// Whether tables may hold addresses of `domain` by their local part alone: it is this host's own, or `myorigin`.
    package func isLocalOrOrigin(_ domain: String) async -> Bool {
        if DomainName.folded(domain) == DomainName.folded(rewriter.myOrigin) { return true }
        return await isLocal(domain) == .yes
    }

    /// Whether `address` is one of the host's own (not `proxy_interfaces`).
    package func isOwnAddress(_ address: IPAddress) -> Bool { interfaceAddresses.contains(address.unmapped) }

    /// `user@1.2.3.4` as `user@[1.2.3.4]` where `resolve_numeric_domain` says so.
    func withNumericDomainAsLiteral(_ address: Address) -> Address {
        guard resolvesNumericDomains, let domain = address.domain, let ip = IPAddress(domain) else { return address }
        var result = address
        result.domain = "[\(ip.rfc5321)]"
        return result
    }
}
