/// The parameters one service sees: main.cf with the `-o` overrides of its master.cf line, expanded and checked against the parameter table.
///
/// Values were checked when the configuration was loaded, so the accessors do not fail. Asking for a name that is not in the table, or as
/// the wrong type, is our own mistake and traps.
package struct ServiceSettings: Sendable {
    /// The service's name in master.cf (`submission`, `127.0.0.1:40025`), empty for the view without overrides.
    package let serviceName: String
    private let values: [String: String]
    private let locations: [String: SourceLocation]

    package init(serviceName: String, values: [String: String], locations: [String: SourceLocation]) {
        self.serviceName = serviceName
        self.values = values
        self.locations = locations
    }

    /// The value after `$name` expansion.
    package func text(_ name: String) -> String {
        guard let value = values[name] else { preconditionFailure("parameter \(name) is not in the table") }
        return value
    }

    package func bool(_ name: String) -> Bool { text(name) == "yes" }

    package func integer(_ name: String) -> Int {
        guard let value = Int(text(name)) else { preconditionFailure("parameter \(name) is not an integer") }
        return value
    }

    /// Where the value was set; nil when it is the default.
    package func location(of name: String) -> SourceLocation? { locations[name] }
}
