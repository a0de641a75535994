import Settings
import Tables

/// Turns the text of the restriction lists into rules, collecting every problem.
struct RestrictionCompiler {
    let settings: ServiceSettings
    let tables: TableRegistry
    private(set) var diagnostics: [Diagnostic] = []

    init(settings: ServiceSettings, tables: TableRegistry) {
        self.settings = settings
        self.tables = tables
    }

    mutating func compile(_ kind: ListKind) -> RestrictionList {
        let location = settings.location(of: kind.parameter)
        guard let items = ListText.items(settings.text(kind.parameter)) else {
            diagnostics.append(Diagnostic(.error, "\(kind.parameter): braces do not balance", at: location))
            return RestrictionList(name: kind.parameter, entries: [])
        }
        var entries: [RestrictionList.Entry] = []
        for (index, item) in items.enumerated() {
            let rule: any Rule
            switch DomainName.folded(item) {
            case "permit": rule = Permit()
            case "reject": rule = RejectAlways()
            case "permit_mynetworks": rule = PermitMyNetworks()
            case "reject_unauth_destination": rule = UnauthDestination(defers: false)
            case "defer_unauth_destination": rule = UnauthDestination(defers: true)
            case "permit_sasl_authenticated": rule = PermitSASLAuthenticated()
            default:
                diagnostics.append(Diagnostic(.error, "restriction \"\(item)\" is not implemented yet", at: location))
                continue
            }
            entries.append(RestrictionList.Entry(index: index, text: item, rule: rule, isWarned: false))
        }
        return RestrictionList(name: kind.parameter, entries: entries)
    }

    func checkRelaySafeguard() {}
}
