/// All parameters we know, by name.
package enum ParameterTable {
    /// The defaults that differ from Postfix 3.7.11's: the newest Postfix's safer ones. This is the only list of them.
    package static let saferDefaults: [String: String] = [
        "smtpd_forbid_bare_newline": "normalize",
        // Also for local clients: a bare LF never ends a message unless the administrator exempts somebody.
        "smtpd_forbid_bare_newline_exclusions": "",
        "smtpd_forbid_unauth_pipelining": "yes",
    ]

    /// Every row, sorted by name as postconf prints them.
    package static let all: [Parameter] = {
        let rows =
            Parameter.server + Parameter.serverTLSAndSASL + Parameter.client + Parameter.clientTLSAndSASL + Parameter.lmtpClient
            + Parameter.identity + Parameter.queue + Parameter.cleanup + Parameter.tlsLibrary + Parameter.localDelivery
            + Parameter.internals + Parameter.otherServers + Parameter.own
        return rows.map(saferDefault).sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }()

    private static let byName: [String: Parameter] = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

    /// The row of a name; nil for user-defined names.
    package static func row(_ name: String) -> Parameter? { byName[name] }

    /// By parameter: names that only its default refers to, which is what it was called in earlier versions.
    static let olderNames: [String: Set<String>] = {
        let pairs = all.map { ($0.name, Expander.references(in: $0.defaultValue).filter { row($0) == nil }) }
        return Dictionary(uniqueKeysWithValues: pairs.filter { !$0.1.isEmpty })
    }()

    private static func saferDefault(_ row: Parameter) -> Parameter {
        guard let value = saferDefaults[row.name] else { return row }
        return Parameter(row.name, row.type, row.tier, row.support, value)
    }
}
