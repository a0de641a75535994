import Settings

/// A table of fixed strings held in memory. Keys are compared in lower case.
struct FixedTable: LookupTable {
    let name: String
    let watchedFiles: [String]
    private let values: [String: String]

    init(name: String, values: [String: String], watchedFiles: [String] = []) {
        self.name = name
        self.values = values
        self.watchedFiles = watchedFiles
    }

    var takesWholeKeysOnly: Bool { false }

    func lookup(_ key: String) async -> LookupResult {
        if let value = values[KeyFolding.folded(key)] { .found(value) } else { .notFound }
    }
}

/// Lower case as tables see it.
package enum KeyFolding {
    /// As ``DomainName`` does.
    package static func folded(_ key: String) -> String { DomainName.folded(key) }
}
