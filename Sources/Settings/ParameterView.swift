/// One definition of a name, before expansion.
package struct Definition: Sendable, Hashable {
    package var value: String
    /// nil when it comes from no file, such as a test.
    package var location: SourceLocation?

    package init(value: String, location: SourceLocation?) {
        self.value = value
        self.location = location
    }
}

/// The layers a value is looked up in: the service's `-o` overrides, main.cf, the defaults.
package struct ParameterView: Sendable {
    package var overrides: [String: Definition]
    package var main: [String: Definition]
    /// Defaults that are computed, and the names a service is told (`service_name`).
    package var computed: [String: String]

    package init(main: [String: Definition], overrides: [String: Definition] = [:], computed: [String: String] = [:]) {
        self.main = main
        self.overrides = overrides
        self.computed = computed
    }

    package func definition(of name: String) -> Definition? { overrides[name] ?? main[name] }

    /// The unexpanded value in force: defined, computed or the table's default; nil for an undefined name that is not in the table.
    package func rawValue(_ name: String) -> String? { definition(of: name)?.value ?? rawDefault(name) }

    package func rawDefault(_ name: String) -> String? { computed[name] ?? ParameterTable.row(name)?.defaultValue }

    package func expander() -> Expander { Expander(lookup: rawValue) }

    /// Expands and checks all parameters of the table. A definition with a problem is left out, as if its line were not there: so the
    /// settings are always valid, those included whose default refers to it, and one run finds all problems.
    func settings(serviceName: String, files: [String: [String]], problems: inout [Diagnostic]) -> ServiceSettings {
        var view = self
        while true {
            var unusable: [String] = []
            let settings = view.pass(serviceName: serviceName, files: files, unusable: &unusable, problems: &problems)
            if unusable.isEmpty { return settings }
            for name in unusable where view.overrides.removeValue(forKey: name) == nil { view.main[name] = nil }
        }
    }

    /// One run over the table; `unusable` gets the names whose definition in force has a problem.
    private func pass(
        serviceName: String,
        files: [String: [String]],
        unusable: inout [String],
        problems: inout [Diagnostic]
    ) -> ServiceSettings {
        var values: [String: String] = [:]
        var changed: Set<String> = []
        values.reserveCapacity(ParameterTable.all.count)
        var expander = expander()
        for row in ParameterTable.all {
            let standard = (try? expander.expanded(rawDefault(row.name) ?? "", of: row)) ?? ""
            guard let definition = definition(of: row.name) else {
                values[row.name] = standard
                // An older name that the default refers to (virtual_maps) sets the value as well.
                if ParameterTable.olderNames[row.name, default: []].contains(where: { definition(of: $0) != nil }), !standard.isEmpty {
                    changed.insert(row.name)
                }
                continue
            }
            do throws(ExpansionError) {
                let value = try expander.expanded(definition.value, of: row)
                // Readers compare the words of a choice as the table has them.
                values[row.name] = if case .choice = row.type { value.lowercased() } else { value }
                if let problem = row.problem(with: value) {
                    problems.append(Diagnostic(.error, problem, at: definition.location))
                    unusable.append(row.name)
                } else if !row.means(value, theSameAs: standard) {
                    changed.insert(row.name)
                }
            } catch {
                problems.append(Diagnostic(.error, "\(row.name): \(error.message)", at: definition.location))
                unusable.append(row.name)
            }
        }
        return ServiceSettings(serviceName: serviceName, view: self, values: values, changed: changed, files: files)
    }
}

extension Expander {
    /// The value of one parameter: expanded unless it is a template.
    fileprivate mutating func expanded(_ value: String, of row: Parameter) throws(ExpansionError) -> String {
        if row.type == .template { return value }
        return try expand(value).trimmed()
    }
}
