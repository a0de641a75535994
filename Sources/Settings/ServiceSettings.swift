/// The parameters one service sees: main.cf with the `-o` overrides of its master.cf line, expanded and checked against the parameter table.
///
/// Values were checked when the configuration was loaded, so the accessors do not fail. Asking for a name that is not in the table, or as
/// the wrong type, is our own mistake and traps. Each access looks the name up and converts the text: take what a session needs once.
package struct ServiceSettings: Sendable {
    /// The service's name in master.cf (`submission`, `127.0.0.1:40025`), empty for the view without overrides.
    package let serviceName: String
    private(set) var values: [String: String]
    let changed: Set<String>
    let view: ParameterView
    let files: [String: [String]]

    init(serviceName: String, view: ParameterView, values: [String: String], changed: Set<String>, files: [String: [String]]) {
        self.serviceName = serviceName
        self.view = view
        self.values = values
        self.changed = changed
        self.files = files
    }

    /// The value after `$name` expansion, without white space at its ends. Of a template parameter (`default_rbl_reply`) the unexpanded text.
    package func text(_ name: String) -> String {
        guard let value = values[name] else { preconditionFailure("parameter \(name) is not in the table") }
        return value
    }

    package func bool(_ name: String) -> Bool { text(name).lowercased() == "yes" }

    package func integer(_ name: String) -> Int {
        guard let value = DecimalNumber.parse(text(name)) else { preconditionFailure("parameter \(name) is not an integer") }
        return value
    }

    /// A number of bytes.
    package func size(_ name: String) -> Int { integer(name) }

    /// A time value; a number without a unit letter has the parameter's own unit (seconds for most, days for `maximal_queue_lifetime`).
    package func duration(_ name: String) -> Duration {
        guard case .time(let unit)? = ParameterTable.row(name)?.type, let seconds = TimeValue.seconds(text(name), unit: unit) else {
            preconditionFailure("parameter \(name) is not a time")
        }
        return .seconds(seconds)
    }

    /// The elements of a list: separated by commas or white space, a `{ ... }` group is one element with its braces. Where Postfix allows
    /// `/file/name` (match lists such as `mynetworks`), such an element is replaced by the file's elements.
    package func list(_ name: String) -> [String] {
        let elements = ListSyntax.elements(text(name))
        guard ParameterTable.row(name)?.type == .matchList else { return elements }
        return elements.flatMap { files[$0] ?? [$0] }
    }

    /// The same, with these parameters empty.
    package func without(_ names: [String]) -> ServiceSettings {
        var result = self
        for name in names { result.values[name] = "" }
        return result
    }

    /// The elements of a list of keywords, in lower case.
    package func keywords(_ name: String) -> Set<String> { Set(list(name).map { $0.lowercased() }) }

    /// Whether the expanded value equals the default's.
    package func isDefault(_ name: String) -> Bool {
        precondition(values[name] != nil, "parameter \(name) is not in the table")
        return !changed.contains(name)
    }

    /// Where the value was set; nil when it is the default.
    package func location(of name: String) -> SourceLocation? { view.definition(of: name)?.location }

    /// Where to look when the value is wrong: its own definition, or that of a parameter which the default refers to.
    package func cause(of name: String) -> SourceLocation? {
        if let definition = view.definition(of: name) { return definition.location }
        let references = Expander.references(in: ParameterTable.row(name)?.defaultValue ?? "").sorted()
        return references.lazy.compactMap { view.definition(of: $0)?.location }.first
    }

    /// The expanded value of a name that need not be in the table: a restriction class, `TRANSPORT_destination_recipient_limit`. nil when
    /// it is not defined, or cannot be expanded.
    package func definedText(_ name: String) -> String? {
        if let value = values[name] { return value }
        guard view.definition(of: name) != nil else { return nil }
        var expander = view.expander()
        return try? expander.expand("${\(name)}").trimmed()
    }

    /// The same service with other values on top. nil, and the reasons in `problems`, when a value does not fit its parameter then.
    package func overriding(_ overrides: [String: String], problems: inout [Diagnostic]) -> ServiceSettings? {
        var view = view
        for (name, value) in overrides { view.overrides[name] = .init(value: value, location: nil) }
        var found: [Diagnostic] = []
        let settings = view.settings(serviceName: serviceName, files: files, problems: &found)
        let errors = found.filter { $0.severity == .error }
        problems += errors
        return errors.isEmpty ? settings : nil
    }
}
