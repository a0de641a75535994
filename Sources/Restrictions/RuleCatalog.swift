import Tables

/// Every restriction of smtpd(8) by name: how to build it, or that we cannot yet.
enum RuleCatalog {
    enum Builder {
        case plain(@Sendable (RuleContext) -> any Rule)
        /// Needs the tables of valid addresses.
        case unlisted(EnvelopeSide)
        /// Followed by a lookup table.
        case table(@Sendable (any LookupTable) -> any Rule)
        /// `sleep`.
        case seconds
        case warnIfReject
        /// `reject_sender_login_mismatch` is two restrictions.
        case expansion([String])
        /// Followed by this many arguments.
        case notImplemented(arguments: Int)
    }

    /// `name` in lower case.
    static func builder(_ name: String) -> Builder? { builders[aliases[name] ?? name] }

    /// Old names that Postfix still takes.
    private static let aliases = [
        "reject_unknown_client": "reject_unknown_client_hostname",
        "reject_invalid_hostname": "reject_invalid_helo_hostname",
        "reject_unknown_hostname": "reject_unknown_helo_hostname",
        "reject_non_fqdn_hostname": "reject_non_fqdn_helo_hostname",
        "reject_unknown_address": "reject_unknown_sender_domain",
        "check_recipient_maps": "reject_unlisted_recipient",
        "reject_rbl": "reject_rbl_client",
    ]

    private static let builders: [String: Builder] = [
        // Any list.
        "permit": .plain { _ in Permit() },
        "reject": .plain { _ in RejectAlways() },
        "defer": .plain { _ in DeferAlways() },
        "defer_if_permit": .plain { _ in DeferIfPermit() },
        "defer_if_reject": .plain { _ in DeferIfReject() },
        "warn_if_reject": .warnIfReject,
        "sleep": .seconds,
        "reject_unauth_pipelining": .plain { _ in RejectUnauthPipelining() },
        "reject_plaintext_session": .plain { _ in RejectPlaintextSession() },
        "reject_multi_recipient_bounce": .plain { _ in RejectMultiRecipientBounce() },
        "check_policy_service": .notImplemented(arguments: 1),
        // The client.
        "permit_mynetworks": .plain { _ in PermitMyNetworks() },
        "permit_inet_interfaces": .plain { _ in PermitInetInterfaces() },
        "permit_sasl_authenticated": .plain { _ in PermitSASLAuthenticated() },
        "check_sasl_access": .table { CheckSASLAccess(table: $0) },
        "check_client_access": .table { CheckClientAccess(table: $0) },
        "check_reverse_client_hostname_access": .table { CheckReverseClientHostnameAccess(table: $0) },
        "reject_unknown_client_hostname": .plain { _ in RejectUnknownClientHostname() },
        "reject_unknown_reverse_client_hostname": .plain { _ in RejectUnknownReverseClientHostname() },
        "check_client_a_access": .notImplemented(arguments: 1),
        "check_client_mx_access": .notImplemented(arguments: 1),
        "check_client_ns_access": .notImplemented(arguments: 1),
        "check_reverse_client_hostname_a_access": .notImplemented(arguments: 1),
        "check_reverse_client_hostname_mx_access": .notImplemented(arguments: 1),
        "check_reverse_client_hostname_ns_access": .notImplemented(arguments: 1),
        "check_ccert_access": .notImplemented(arguments: 1),
        "permit_tls_clientcerts": .notImplemented(arguments: 0),
        "permit_tls_all_clientcerts": .notImplemented(arguments: 0),
        "reject_rbl_client": .notImplemented(arguments: 1),
        "reject_rhsbl_client": .notImplemented(arguments: 1),
        "reject_rhsbl_reverse_client": .notImplemented(arguments: 1),
        "permit_dnswl_client": .notImplemented(arguments: 1),
        "permit_rhswl_client": .notImplemented(arguments: 1),
        "reject_maps_rbl": .notImplemented(arguments: 0),
        // HELO.
        "check_helo_access": .table { CheckHeloAccess(table: $0) },
        "reject_invalid_helo_hostname": .plain { _ in RejectInvalidHeloHostname() },
        "reject_non_fqdn_helo_hostname": .plain { _ in RejectNonFQDNHeloHostname() },
        "reject_unknown_helo_hostname": .plain { _ in RejectUnknownHeloHostname() },
        "check_helo_a_access": .notImplemented(arguments: 1),
        "check_helo_mx_access": .notImplemented(arguments: 1),
        "check_helo_ns_access": .notImplemented(arguments: 1),
        "reject_rhsbl_helo": .notImplemented(arguments: 1),
        "permit_naked_ip_address": .notImplemented(arguments: 0),
        // Sender.
        "check_sender_access": .table { CheckSenderAccess(table: $0) },
        "reject_non_fqdn_sender": .plain { _ in RejectNonFQDNAddress(side: .sender) },
        "reject_unknown_sender_domain": .plain { _ in RejectUnknownDomain(side: .sender) },
        "reject_unlisted_sender": .unlisted(.sender),
        "reject_sender_login_mismatch": .expansion([
            "reject_authenticated_sender_login_mismatch", "reject_unauthenticated_sender_login_mismatch",
        ]),
        "reject_authenticated_sender_login_mismatch": .plain { RejectSenderLoginMismatch(mode: .authenticated, logins: $0.senderLogins) },
        "reject_known_sender_login_mismatch": .plain { RejectSenderLoginMismatch(mode: .known, logins: $0.senderLogins) },
        "reject_unauthenticated_sender_login_mismatch": .plain {
            RejectSenderLoginMismatch(mode: .unauthenticated, logins: $0.senderLogins)
        },
        "reject_unverified_sender": .notImplemented(arguments: 0),
        "check_sender_a_access": .notImplemented(arguments: 1),
        "check_sender_mx_access": .notImplemented(arguments: 1),
        "check_sender_ns_access": .notImplemented(arguments: 1),
        "reject_rhsbl_sender": .notImplemented(arguments: 1),
        // Recipient.
        "reject_unauth_destination": .plain { _ in UnauthDestination(defers: false) },
        "defer_unauth_destination": .plain { _ in UnauthDestination(defers: true) },
        "permit_auth_destination": .plain { _ in PermitAuthDestination() },
        "check_recipient_access": .table { CheckRecipientAccess(table: $0) },
        "reject_non_fqdn_recipient": .plain { _ in RejectNonFQDNAddress(side: .recipient) },
        "reject_unknown_recipient_domain": .plain { _ in RejectUnknownDomain(side: .recipient) },
        "reject_unlisted_recipient": .unlisted(.recipient),
        "reject_unverified_recipient": .notImplemented(arguments: 0),
        "permit_mx_backup": .notImplemented(arguments: 0),
        "check_relay_domains": .notImplemented(arguments: 0),
        "check_recipient_a_access": .notImplemented(arguments: 1),
        "check_recipient_mx_access": .notImplemented(arguments: 1),
        "check_recipient_ns_access": .notImplemented(arguments: 1),
        "reject_rhsbl_recipient": .notImplemented(arguments: 1),
        // ETRN.
        "check_etrn_access": .table { CheckETRNAccess(table: $0) },
    ]

    /// What a bare `type:table` means in a list.
    static func implicitCheck(_ kind: ListKind, _ table: any LookupTable) -> (any Rule)? {
        switch kind {
        case .client: CheckClientAccess(table: table)
        case .helo: CheckHeloAccess(table: table)
        case .sender: CheckSenderAccess(table: table)
        case .relay, .recipient: CheckRecipientAccess(table: table)
        case .etrn: CheckETRNAccess(table: table)
        case .data, .endOfData: nil
        }
    }
}
