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
    let saslIsEnabled: Bool
    /// `smtpd_access_maps` is in `parent_domain_matches_subdomains`.
    let accessMapsMatchSubdomains: Bool
    let nullSenderKey: String
    let tempfail: TempfailActions
    /// What restrictions named by a table's result are built with.
    let nestedRules: RuleContext
    /// nil where `smtpd_reject_unlisted_*` are off.
    let unlistedSender: UnlistedCheck?
    let unlistedRecipient: UnlistedCheck?
}

/// What to do when DNS gives no answer (`unknown_*_tempfail_action`).
struct TempfailActions: Sendable {
    enum Action: Sendable {
        case `defer`, deferIfPermit
    }

    let address: Action
    let helo: Action

    init(settings: ServiceSettings) {
        func action(_ name: String) -> Action { settings.text(name) == "defer" ? .defer : .deferIfPermit }
        address = action("unknown_address_tempfail_action")
        helo = action("unknown_helo_hostname_tempfail_action")
    }
}
