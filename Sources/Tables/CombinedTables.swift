import Settings

/// `unionmap:{ table, ... }`: all values found, joined with commas.
struct UnionTable: LookupTable {
    let name: String
    let tables: [any LookupTable]

    var takesWholeKeysOnly: Bool { tables.contains { $0.takesWholeKeysOnly } }
    var watchedFiles: [String] { tables.flatMap(\.watchedFiles) }

    func lookup(_ key: String) async -> LookupResult {
        var values: [String] = []
        for table in tables {
            switch await table.lookup(key) {
            case .found(let value): values.append(value)
            case .notFound: continue
            case .failed(let reason): return .failed(reason)
            }
        }
        return values.isEmpty ? .notFound : .found(values.joined(separator: ","))
    }
}

/// `pipemap:{ table, ... }`: each table is asked for what the one before it answered.
struct PipeTable: LookupTable {
    let name: String
    let tables: [any LookupTable]

    var takesWholeKeysOnly: Bool { tables.contains { $0.takesWholeKeysOnly } }
    var watchedFiles: [String] { tables.flatMap(\.watchedFiles) }

    func lookup(_ key: String) async -> LookupResult {
        var value = key
        for table in tables {
            switch await table.lookup(value) {
            case .found(let next): value = next
            case let answer: return answer
            }
        }
        return .found(value)
    }
}

/// `fail:text`: every lookup fails for the moment.
struct FailingTable: LookupTable {
    let name: String

    var takesWholeKeysOnly: Bool { false }

    func lookup(_ key: String) async -> LookupResult { .failed("\(name) lookup error") }
}

/// `proxy:table`: the table itself, as we have no proxymap(8) and open tables before dropping root.
struct ProxiedTable: LookupTable {
    let name: String
    let table: any LookupTable

    var takesWholeKeysOnly: Bool { table.takesWholeKeysOnly }
    var watchedFiles: [String] { table.watchedFiles }

    func lookup(_ key: String) async -> LookupResult { await table.lookup(key) }
}
