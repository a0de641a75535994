import Resolver
import Routing
import SMTPCore
import Settings
import Tables

/// Everything one service's restrictions need, built at start with every problem collected.
struct RestrictionSetup {
    let environment: RestrictionEnvironment
    let lists: [ListKind: RestrictionList]
    let classes: [String: RestrictionList]
    let warnings: [Diagnostic]

    init(
        settings: ServiceSettings,
        tables: TableRegistry,
        router: AddressRouter?,
        names: any NameService
    ) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let codes = ReplyCodes(settings: settings)
        let parents = Set(ListText.items(settings.text("parent_domain_matches_subdomains")) ?? [])
        let checksUnlisted = !settings.keywords("receive_override_options").contains("no_unknown_recipient_checks")
        let sources = RestrictionSources(settings: settings)
        let needsUnlisted =
            checksUnlisted
            && (settings.bool("smtpd_reject_unlisted_recipient") || settings.bool("smtpd_reject_unlisted_sender"))
            || sources.mention(["reject_unlisted_sender", "reject_unlisted_recipient", "check_recipient_maps"])
        let unlisted =
            needsUnlisted ? problems.collect(try UnlistedCheck(settings: settings, tables: tables, codes: codes)) : nil
        let logins = problems.collect(try tables.list(ofParameter: "smtpd_sender_login_maps", settings))
        let myNetworks = problems.collect(
            try NetworkList(
                settings.text("mynetworks"),
                matchesSubdomains: parents.contains("mynetworks"),
                tables: tables,
                at: settings.location(of: "mynetworks")
            )
        )
        let context = RuleContext(
            classNames: sources.classNames,
            senderLogins: logins ?? .empty,
            unlisted: unlisted,
            unlistedFailed: needsUnlisted && unlisted == nil
        )
        var builder = ListBuilder(context: context, tables: tables)
        var classes: [String: RestrictionList] = [:]
        for source in sources.classes {
            classes[source.name] = builder.build(name: source.name, kind: nil, items: source.items, location: source.location)
        }
        var lists: [ListKind: RestrictionList] = [:]
        for (kind, source) in sources.lists {
            lists[kind] = builder.build(name: source.name, kind: kind, items: source.items, location: source.location)
        }
        problems.add(sources.problems + builder.diagnostics)
        if let relay = lists[.relay], let recipient = lists[.recipient], !RelaySafeguard.holds(relay, classes: classes),
            !RelaySafeguard.holds(recipient, classes: classes)
        {
            let location = settings.location(of: "smtpd_relay_restrictions") ?? settings.location(of: "smtpd_recipient_restrictions")
            problems.add([Diagnostic(.error, RelaySafeguard.message, at: location)])
        }
        guard let router, let myNetworks, !problems.hasErrors else { throw problems.error }
        environment = RestrictionEnvironment(
            codes: codes,
            router: router,
            names: names,
            myNetworks: myNetworks,
            delaysReject: settings.bool("smtpd_delay_reject"),
            relayBeforeRecipient: settings.bool("smtpd_relay_before_recipient_restrictions"),
            allowsUntrustedRouting: settings.bool("allow_untrusted_routing"),
            saslIsEnabled: settings.bool("smtpd_sasl_auth_enable"),
            accessMapsMatchSubdomains: parents.contains("smtpd_access_maps"),
            nullSenderKey: settings.text("smtpd_null_access_lookup_key"),
            tempfail: TempfailActions(settings: settings),
            nestedRules: context,
            unlistedSender: checksUnlisted && settings.bool("smtpd_reject_unlisted_sender") ? unlisted : nil,
            unlistedRecipient: checksUnlisted && settings.bool("smtpd_reject_unlisted_recipient") ? unlisted : nil
        )
        self.lists = lists
        self.classes = classes
        warnings = problems.diagnostics
    }
}

/// The restriction lists and classes as written.
struct RestrictionSources {
    struct List {
        var name: String
        var items: [String]
        var location: SourceLocation?
    }

    private(set) var lists: [(kind: ListKind, list: List)] = []
    private(set) var classes: [List] = []
    private(set) var problems: [Diagnostic] = []

    var classNames: Set<String> { Set(classes.map(\.name)) }

    init(settings: ServiceSettings) {
        for kind in ListKind.allCases { lists.append((kind, list(kind.parameter, settings.text(kind.parameter), settings))) }
        for name in ListText.items(settings.text("smtpd_restriction_classes")) ?? [] {
            guard let text = settings.definedText(name), !ListText.trimmed(text).isEmpty else {
                let location = settings.location(of: "smtpd_restriction_classes")
                problems.append(Diagnostic(.error, "restriction class `\(name)' needs a definition", at: location))
                continue
            }
            classes.append(list(name, text, settings))
        }
    }

    /// Whether one of `names` stands in a list or class.
    func mention(_ names: Set<String>) -> Bool {
        (lists.map(\.list) + classes).contains { $0.items.contains { names.contains(DomainName.folded($0)) } }
    }

    private mutating func list(_ name: String, _ text: String, _ settings: ServiceSettings) -> List {
        let location = settings.location(of: name)
        if let items = ListText.items(text) { return List(name: name, items: items, location: location) }
        problems.append(Diagnostic(.error, "\(name): braces do not balance", at: location))
        return List(name: name, items: [], location: location)
    }
}
