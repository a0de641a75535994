import Settings

/// The table types that are built in, by name.
enum TableType {
    static func open(_ spec: String, at location: SourceLocation?, registry: TableRegistry) throws(ConfigurationError) -> any LookupTable {
        guard ListText.isTable(spec), let colon = spec.firstIndex(of: ":") else {
            throw ConfigurationError("\"\(spec)\" is not a lookup table, expecting type:name", at: location)
        }
        let type = spec[..<colon]
        let name = String(spec[spec.index(after: colon)...])
        switch type {
        case "static": return StaticTable(name: spec, value: ListText.group(name) ?? name)
        default: throw ConfigurationError("unsupported dictionary type: \(type)", at: location)
        }
    }
}
