import Resolver
import Routing
import SMTPCore
import Settings
import Tables

/// What the rules of one service share. Immutable.
struct RestrictionEnvironment: Sendable {
    let codes: ReplyCodes
    let router: AddressRouter
    let names: any NameService
    let myNetworks: NetworkList
    let delaysReject: Bool
    let relayBeforeRecipient: Bool
    let allowsUntrustedRouting: Bool

    init(
        settings: ServiceSettings,
        tables: TableRegistry,
        router: AddressRouter,
        names: any NameService
    ) throws(ConfigurationError) {
        codes = ReplyCodes(settings: settings)
        self.router = router
        self.names = names
        let parents = ListText.items(settings.text("parent_domain_matches_subdomains")) ?? []
        myNetworks = try NetworkList(
            settings.text("mynetworks"),
            matchesSubdomains: parents.contains("mynetworks"),
            tables: tables,
            at: settings.location(of: "mynetworks")
        )
        delaysReject = settings.bool("smtpd_delay_reject")
        relayBeforeRecipient = settings.bool("smtpd_relay_before_recipient_restrictions")
        allowsUntrustedRouting = settings.bool("allow_untrusted_routing")
    }
}
