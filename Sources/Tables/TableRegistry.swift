package import Settings

/// Opens the lookup tables of a configuration, each once however often it is named.
///
/// Used while a role starts (files are read here, synchronously); the tables it returns never change and may be used on any loop.
package final class TableRegistry {
    private var opened: [String: any LookupTable] = [:]
    /// What the tables opened so far had to say: duplicate keys, lines that mean nothing.
    package private(set) var warnings: [Diagnostic] = []

    package init() {}

    /// The types of tables that can be opened, sorted.
    package static var types: [String] { (TableType.builtIn + IndexedSource.indexed.keys).sorted() }

    /// The files that the tables opened so far were read from, for the watcher.
    package var watchedFiles: [String] { Set(opened.values.flatMap(\.watchedFiles)).sorted() }

    /// Opens `type:name`.
    /// - Throws: each problem with the line of the table's file, or at `location` (where the table is named).
    package func open(_ spec: String, at location: SourceLocation? = nil) throws(ConfigurationError) -> any LookupTable {
        if let table = opened[spec] { return table }
        let table = try TableType.open(spec, at: location, registry: self)
        opened[spec] = table
        return table
    }

    /// Opens each of `specs`.
    package func list(_ specs: [String], at location: SourceLocation? = nil) throws(ConfigurationError) -> TableList {
        var tables: [any LookupTable] = []
        var problems: [Diagnostic] = []
        for spec in specs {
            do throws(ConfigurationError) { tables.append(try open(spec, at: location)) } catch { problems += error.diagnostics }
        }
        if !problems.isEmpty { throw ConfigurationError(problems) }
        return TableList(tables)
    }

    func warn(_ diagnostic: Diagnostic) { warnings.append(diagnostic) }
}
