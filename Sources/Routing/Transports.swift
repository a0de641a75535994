import SMTPCore
import Settings
import Tables

/// `transport:nexthop` as parameters and `transport_maps` write it.
struct TransportSpec: Sendable, Hashable {
    var transport: String
    var nextHop: String

    init(_ text: String) {
        if let colon = text.firstIndex(of: ":") {
            transport = String(text[..<colon])
            nextHop = String(text[text.index(after: colon)...])
        } else {
            transport = text
            nextHop = ""
        }
    }
}

/// The transports of the address classes.
struct Transports: Sendable {
    let local: TransportSpec
    let virtual: TransportSpec
    let relay: TransportSpec
    let `default`: TransportSpec
    let relayHost: String

    init(settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        local = TransportSpec(settings.text("local_transport"))
        virtual = TransportSpec(settings.text("virtual_transport"))
        relay = TransportSpec(settings.text("relay_transport"))
        `default` = TransportSpec(settings.text("default_transport"))
        relayHost = settings.text("relayhost")
    }
}
