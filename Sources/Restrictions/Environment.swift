import Resolver
import Routing
import SMTPCore
import Settings
import Tables

/// What the rules of one service share. Immutable.
final class RestrictionEnvironment: Sendable {
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

    init(
        codes: ReplyCodes,
        router: AddressRouter,
        names: any NameService,
        myNetworks: NetworkList,
        delaysReject: Bool,
        relayBeforeRecipient: Bool,
        allowsUntrustedRouting: Bool,
        saslIsEnabled: Bool,
        accessMapsMatchSubdomains: Bool,
        nullSenderKey: String,
        tempfail: TempfailActions,
        nestedRules: RuleContext,
        unlistedSender: UnlistedCheck?,
        unlistedRecipient: UnlistedCheck?
    ) {
        self.codes = codes
        self.router = router
        self.names = names
        self.myNetworks = myNetworks
        self.delaysReject = delaysReject
        self.relayBeforeRecipient = relayBeforeRecipient
        self.allowsUntrustedRouting = allowsUntrustedRouting
        self.saslIsEnabled = saslIsEnabled
        self.accessMapsMatchSubdomains = accessMapsMatchSubdomains
        self.nullSenderKey = nullSenderKey
        self.tempfail = tempfail
        self.nestedRules = nestedRules
        self.unlistedSender = unlistedSender
        self.unlistedRecipient = unlistedRecipient
    }
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
