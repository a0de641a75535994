/// `static:value`: every key has this value.
struct StaticTable: LookupTable {
    let name: String
    let value: String

    var takesWholeKeysOnly: Bool { false }

    func lookup(_ key: String) async -> LookupResult { .found(value) }
}
