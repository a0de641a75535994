import Cleanup
import Routing
package import SMTPCore
import Settings
import Tables

/// The addresses this host answers to, for `permit_inet_interfaces`.
package struct OwnAddresses: Sendable, Hashable {
    package let addresses: Set<IPAddress>

    package init(_ addresses: some Sequence<IPAddress>) { self.addresses = Set(addresses) }
}

/// What happens to a message's content on its way to the queue.
struct ContentPolicy: Sendable {
    let headers: HeaderPolicy
    let alwaysAddsMissingHeaders: Bool
    let completedClients: RewriteClients
    let undisclosedRecipients: String
    /// `cleanup_replace_stray_cr_lf`.
    let replacesStrayCR: Bool
    let hidesClient: Bool
    /// `remote_header_rewrite_domain`; empty for none.
    let remoteHeaderDomain: String
    /// `header_address_token_limit`.
    let addressTokenLimit: Int
    /// What addresses become once they are complete.
    let maps: AddressMaps
    /// `duplicate_filter_limit`; 0 for none.
    let duplicateFilterLimit: Int
    /// `enable_original_recipient`.
    let tellsOriginalsApart: Bool
    /// `content_filter`; a rule's FILTER comes before it.
    let filter: ContentFilter?

    init(_ settings: ServiceSettings, tables: TableRegistry, ownAddresses: OwnAddresses) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let completedClients = problems.collect(try RewriteClients(settings, tables: tables, ownAddresses: ownAddresses))
        let maps = problems.collect(try AddressMaps(settings, tables: tables))
        let filter = problems.collect(try Self.filter(settings))
        guard let completedClients, let maps, let filter else { throw problems.error }
        self.filter = filter
        self.completedClients = completedClients
        self.maps = maps
        headers = HeaderPolicy(
            droppedNames: (ListText.items(settings.text("message_drop_headers")) ?? []).map { $0.lowercased() },
            sizeLimit: settings.integer("header_size_limit"),
            hopLimit: settings.integer("hopcount_limit")
        )
        alwaysAddsMissingHeaders = settings.bool("always_add_missing_headers")
        undisclosedRecipients = settings.text("undisclosed_recipients_header")
        replacesStrayCR = settings.bool("cleanup_replace_stray_cr_lf")
        hidesClient = settings.bool("smtpd_hide_client_session")
        remoteHeaderDomain = settings.text("remote_header_rewrite_domain")
        addressTokenLimit = settings.integer("header_address_token_limit")
        duplicateFilterLimit = settings.integer("duplicate_filter_limit")
        tellsOriginalsApart = settings.bool("enable_original_recipient")
    }

    private static func filter(_ settings: ServiceSettings) throws(ConfigurationError) -> ContentFilter? {
        let (name, text) = ("content_filter", settings.text("content_filter"))
        guard !text.isEmpty else { return nil }
        guard let filter = ContentFilter(text) else {
            throw ConfigurationError("\(name): \"\(text)\" is not transport:nexthop", at: settings.location(of: name))
        }
        return filter
    }
}

/// `local_header_rewrite_clients`: the clients whose headers are completed.
struct RewriteClients: Sendable {
    private enum Item: Sendable {
        case ownAddresses, myNetworks, authenticated
        case addresses(any LookupTable)
    }

    private let items: [Item]
    private let ownAddresses: OwnAddresses
    private let myNetworks: NetworkList

    init(_ settings: ServiceSettings, tables: TableRegistry, ownAddresses: OwnAddresses) throws(ConfigurationError) {
        let name = "local_header_rewrite_clients"
        let location = settings.location(of: name)
        var problems = ProblemCollector()
        var items: [Item] = []
        var words = ListText.items(settings.text(name)) ?? []
        words.reverse()
        while var word = words.popLast() {
            if word.lowercased() == "check_address_map", let table = words.popLast() { word = table }
            switch word.lowercased() {
            case "permit_inet_interfaces": items.append(.ownAddresses)
            case "permit_mynetworks": items.append(.myNetworks)
            case "permit_sasl_authenticated": items.append(.authenticated)
            default:
                guard ListText.isTable(word) else {
                    problems.add([Diagnostic(.error, "\(name): \"\(word)\" is not implemented", at: location)])
                    continue
                }
                if let table = problems.collect(try tables.open(word, at: location)) { items.append(.addresses(table)) }
            }
        }
        let myNetworks = problems.collect(try NetworkList(settings, "mynetworks", tables: tables))
        guard let myNetworks, !problems.hasErrors else { throw problems.error }
        self.items = items
        self.ownAddresses = ownAddresses
        self.myNetworks = myNetworks
    }

    /// nil when a table failed: 451 at MAIL.
    /// - Parameter socketAddress: the other end of the connection, where a proxy speaks for `address`.
    func contains(_ address: IPAddress, socketAddress: IPAddress, name: String, isAuthenticated: Bool) async -> Bool? {
        for item in items {
            switch item {
            case .ownAddresses: if ownAddresses.addresses.contains(socketAddress) { return true }
            case .authenticated: if isAuthenticated { return true }
            case .myNetworks:
                switch await myNetworks.contains(address, name: name) {
                case .yes: return true
                case .no: break
                case .failed: return nil
                }
            case .addresses(let table):
                switch await table.lookup(address.description) {
                case .found: return true
                case .notFound: break
                case .failed: return nil
                }
            }
        }
        return false
    }
}
