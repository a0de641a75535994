/// `smtp_destination_recipient_limit` and its like: made of a transport's name and the suffix of a parameter that holds for all transports,
/// whose type and support they share.
extension ParameterTable {
    /// The row of such a name; nil when it is none of `service`'s.
    static func row(_ name: String, ofTransport service: String) -> Parameter? {
        guard name.hasPrefix(service), let general = general[String(name.dropFirst(service.count))] else { return nil }
        return Parameter(name, general.type, general.tier, general.support, general.defaultValue)
    }

    /// By suffix.
    private static let general: [String: Parameter] = Dictionary(
        uniqueKeysWithValues: UnknownNames.transportSuffixes.compactMap { suffix in
            (row("default\(suffix)") ?? row(String(suffix.dropFirst()))).map { (suffix, $0) }
        }
    )
}

extension SupportCheck {
    /// What main.cf sets for single transports: of the right type, and implemented.
    func transportParameters() -> [Diagnostic] {
        services.flatMap { service -> [Diagnostic] in
            guard case .transport = service.role else { return [] }
            return main.definitions.keys.sorted().flatMap { name -> [Diagnostic] in
                guard ParameterTable.row(name) == nil, let row = ParameterTable.row(name, ofTransport: service.name) else { return [] }
                return transportParameter(row, of: service)
            }
        }
    }

    private func transportParameter(_ row: Parameter, of service: MasterService) -> [Diagnostic] {
        let location = mainSettings.location(of: row.name)
        guard let value = mainSettings.definedText(row.name) else {
            return [Diagnostic(.error, "\(row.name): the value cannot be expanded", at: location)]
        }
        if let problem = row.problem(with: value) { return [Diagnostic(.error, problem, at: location)] }
        if row.support == .honoured || row.means(value, theSameAs: row.defaultValue) { return [] }
        return [diagnostic(row, mainSettings, isInUse: isInUse(service), transport: service.name)]
    }
}
