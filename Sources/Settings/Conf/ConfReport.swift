/// What `conf` prints: the parameters of a configuration directory in postconf's format.
package struct ConfReport: Sendable {
    package enum Selection: Sendable {
        /// All known names with the values in force.
        case actual
        /// The built-in defaults, whatever main.cf says (`-d`).
        case defaults
        /// What main.cf sets (`-n`).
        case set
    }

    package let main: MainFile
    package let master: MasterFile
    /// main.cf over the computed defaults.
    let view: ParameterView
    private let defaults: ParameterView
    /// The parameters that each transport of master.cf brings, with their defaults.
    private let transportParameters: [String: String]
    private let usedNames: Set<String>

    /// Takes the texts as they are; problems in them are in `main.diagnostics` and `master.diagnostics`. `settings` are `-o name=value` words,
    /// which hold instead of main.cf's; `directory` is printed as config_directory.
    package init(
        main: MainFile,
        master: MasterFile,
        directory: String,
        settings: [(name: String, value: String)] = [],
        environment: LoadEnvironment,
        processID: String = ""
    ) {
        self.main = main
        self.master = master
        let names = ["process_name": "postern", "process_id": processID]
        var definitions = main.definitions
        definitions["config_directory"] = Definition(value: directory, location: nil)
        for setting in settings { definitions[setting.name] = Definition(value: setting.value, location: nil) }
        view = ParameterView(main: definitions, computed: names).withComputedDefaults(environment)
        defaults = ParameterView(main: [:], computed: names).withComputedDefaults(environment)
        transportParameters = Self.transportParameters(of: master)
        var expander = view.expander()
        let classes = ListSyntax.elements((try? expander.expand("$smtpd_restriction_classes")) ?? "")
        usedNames = UnknownNames.usedNames(main: main, master: master, classes: classes)
    }

    /// The lines for the selected names, sorted by name, or for the given names in their order; and warnings about unknown names.
    package func parameters(
        _ selection: Selection,
        names: [String] = [],
        expand: Bool = false,
        style: ConfStyle = .init()
    ) -> (lines: [String], warnings: [String]) {
        var lines: [String] = []
        var warnings: [String] = []
        for name in names.isEmpty ? allNames(selection) : names {
            guard let raw = value(of: name, selection) else {
                warnings.append("\(name): unknown parameter")
                continue
            }
            let (value, problem) = expand ? expanded(name, raw, selection) : (raw, nil)
            if let problem { warnings.append("\(name): \(problem)") }
            lines.append(ConfFormat.line(name, value, style: style))
        }
        return (lines, warnings)
    }

    /// Names in main.cf that nothing uses.
    package var unusedNames: [String] { definedNames.filter { !isKnown($0) }.sorted() }

    private var definedNames: [String] { Array(view.main.keys) }

    private func allNames(_ selection: Selection) -> [String] {
        let names: [String]
        switch selection {
        case .set: names = definedNames.filter(isKnown)
        case .defaults: names = ParameterTable.all.map(\.name) + transportParameters.keys.filter { ParameterTable.row($0) == nil }
        case .actual:
            let more = Set(definedNames.filter(isKnown)).union(transportParameters.keys)
            names = ParameterTable.all.map(\.name) + more.filter { ParameterTable.row($0) == nil }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Built in, belonging to a transport, or used by another value.
    private func isKnown(_ name: String) -> Bool {
        ParameterTable.row(name) != nil || transportParameters[name] != nil || usedNames.contains(name)
    }

    private func value(of name: String, _ selection: Selection) -> String? {
        let layers = selection == .defaults ? defaults : view
        if let value = layers.definition(of: name)?.value, isKnown(name) { return value }
        return layers.rawDefault(name) ?? transportParameters[name]
    }

    private func expanded(_ name: String, _ raw: String, _ selection: Selection) -> (String, problem: String?) {
        if ParameterTable.row(name)?.type == .template { return (raw, nil) }
        let layers = selection == .defaults ? defaults : view
        var expander = Expander { [transportParameters] in layers.rawValue($0) ?? transportParameters[$0] }
        do throws(ExpansionError) { return (try expander.expand(raw), nil) } catch { return (raw, error.message) }
    }

    private static func transportParameters(of master: MasterFile) -> [String: String] {
        var out: [String: String] = [:]
        for entry in master.entries where entry.type == .unix {
            switch entry.command {
            case "smtp", "lmtp", "error", "local", "virtual", "pipe":
                for suffix in UnknownNames.transportSuffixes where suffix != "_time_limit" {
                    out[entry.service + suffix] =
                        suffix == "_initial_destination_concurrency" ? "$initial_destination_concurrency" : "$default\(suffix)"
                }
                if entry.command == "pipe" { out["\(entry.service)_time_limit"] = "$command_time_limit" }
            case "spawn": out["\(entry.service)_time_limit"] = "$command_time_limit"
            default: continue
            }
        }
        return out
    }
}
