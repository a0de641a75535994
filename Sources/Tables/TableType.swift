import Settings

/// The table types that are built in, by name.
enum TableType {
    static func open(_ spec: String, at location: SourceLocation?, registry: TableRegistry) throws(ConfigurationError) -> any LookupTable {
        guard ListText.isTable(spec), let colon = spec.firstIndex(of: ":") else {
            throw ConfigurationError("\"\(spec)\" is not a lookup table, expecting type:name", at: location)
        }
        let type = String(spec[..<colon])
        let body = String(spec[spec.index(after: colon)...])
        switch type {
        case "static": return StaticTable(name: spec, value: ListText.group(body) ?? body)
        case "inline": return try FixedTable.inline(spec, body, at: location, registry: registry)
        case "texthash": return try FixedTable.sourceFile(spec, path: body, acceptsAliases: false, at: location, registry: registry)
        case "cidr": return try CIDRTable(spec, body, at: location)
        case "regexp": return try RegexpTable(spec, body, at: location)
        case "fail": return FailingTable(name: spec)
        case "unix": return try FixedTable.accounts(spec, body, at: location)
        case "proxy": return ProxiedTable(name: spec, table: try registry.open(body, at: location))
        case "unionmap": return UnionTable(name: spec, tables: try members(spec, body, at: location, registry: registry))
        case "pipemap": return PipeTable(name: spec, tables: try members(spec, body, at: location, registry: registry))
        default: return try IndexedSource.open(spec, type: type, path: body, at: location, registry: registry)
        }
    }

    /// The types that `open` takes by name; those of ``IndexedSource`` come on top.
    static let builtIn = ["cidr", "fail", "inline", "pipemap", "proxy", "regexp", "static", "texthash", "unionmap", "unix"]

    private static func members(_ spec: String, _ body: String, at location: SourceLocation?, registry: TableRegistry)
        throws(ConfigurationError)
        -> [any LookupTable]
    {
        guard let group = ListText.group(body), let items = ListText.items(group), !items.isEmpty else {
            throw ConfigurationError("bad syntax in \"\(spec)\", expecting {type:name...}", at: location)
        }
        return try registry.list(items, at: location).tables
    }
}

/// Types that need a library of their own, or that we do not have.
///
/// Of a type that postmap(1) indexes (`hash:FILE` is FILE.db made from FILE) the source text is read in place of the index while the
/// library is not built in: stock configurations say `hash:/etc/aliases`. Only an index without its source cannot be used.
enum IndexedSource {
    /// Type, trait that builds it in.
    static let indexed =
        ["hash": "BerkeleyDB", "btree": "BerkeleyDB", "lmdb": "LMDB", "cdb": nil, "dbm": nil, "sdbm": nil] as [String: String?]
    private static let others =
        ["pcre": "PCRE", "ldap": "LDAP", "mysql": "MySQL", "pgsql": "PostgreSQL", "sqlite": "SQLite"]
    private static let notYet: Set<String> = [
        "socketmap", "tcp", "memcache", "randmap", "nis", "nisplus", "netinfo", "environ", "internal",
    ]

    static func open(_ spec: String, type: String, path: String, at location: SourceLocation?, registry: TableRegistry)
        throws(ConfigurationError)
        -> any LookupTable
    {
        if let trait = others[type] {
            throw ConfigurationError("\(spec): table type \(type) is not built in (build with the \(trait) trait)", at: location)
        }
        if notYet.contains(type) { throw ConfigurationError("\(spec): table type \(type) is not implemented yet", at: location) }
        guard let trait = indexed[type] else { throw ConfigurationError("unsupported dictionary type: \(type)", at: location) }
        do throws(ConfigurationError) {
            return try FixedTable.sourceFile(spec, path: path, acceptsAliases: true, at: location, registry: registry)
        } catch {
            let remedy = trait.map { "build with the \($0) trait, or " } ?? ""
            throw ConfigurationError(
                [Diagnostic(.error, "\(spec): table type \(type) is not built in: \(remedy)keep its source text", at: location)]
                    + error.diagnostics
            )
        }
    }
}
