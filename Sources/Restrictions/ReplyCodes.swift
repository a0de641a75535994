import Settings

/// The reply codes that parameters choose.
struct ReplyCodes: Sendable {
    let accessMapReject: Int
    let accessMapDefer: Int
    let invalidHostname: Int
    let deferral: Int
    let plaintext: Int
    let relayDomains: Int
    let reject: Int
    let nonFQDN: Int
    let unknownAddress: Int
    let unknownClient: Int
    let unknownHostname: Int
    let unknownLocalRecipient: Int
    let unknownRelayRecipient: Int
    let unknownVirtualAlias: Int
    let unknownVirtualMailbox: Int
    let multiRecipientBounce: Int

    init(settings: ServiceSettings) {
        accessMapReject = settings.integer("access_map_reject_code")
        accessMapDefer = settings.integer("access_map_defer_code")
        invalidHostname = settings.integer("invalid_hostname_reject_code")
        deferral = settings.integer("defer_code")
        plaintext = settings.integer("plaintext_reject_code")
        relayDomains = settings.integer("relay_domains_reject_code")
        reject = settings.integer("reject_code")
        nonFQDN = settings.integer("non_fqdn_reject_code")
        unknownAddress = settings.integer("unknown_address_reject_code")
        unknownClient = settings.integer("unknown_client_reject_code")
        unknownHostname = settings.integer("unknown_hostname_reject_code")
        unknownLocalRecipient = settings.integer("unknown_local_recipient_reject_code")
        unknownRelayRecipient = settings.integer("unknown_relay_recipient_reject_code")
        unknownVirtualAlias = settings.integer("unknown_virtual_alias_reject_code")
        unknownVirtualMailbox = settings.integer("unknown_virtual_mailbox_reject_code")
        multiRecipientBounce = settings.integer("multi_recipient_bounce_reject_code")
    }
}
