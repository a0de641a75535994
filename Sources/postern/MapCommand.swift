import ArgumentParser
import PosternDaemon
import Tables

/// `postern map`: what postmap(1) does for tables that are read as text: checks them, and asks them.
struct MapCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "map",
        abstract: "Check a lookup table, or ask it (-q).",
        discussion: "Tables are read when the server starts; there is nothing to compile. Exit status 1 when a key is not found."
    )

    @Option(name: .customShort("q"), help: "Print what the table has for this key.") var key: String?
    @Argument(help: "TYPE:NAME, as in main.cf.") var table: String

    func run() async throws {
        let registry = TableRegistry()
        let opened: any LookupTable
        do { opened = try registry.open(table) } catch {
            for diagnostic in error.diagnostics { complain("\(diagnostic)") }
            throw ExitCode(1)
        }
        for warning in registry.warnings { complain("\(warning)") }
        guard let key else { return }
        switch await opened.lookup(key) {
        case .found(let value): print(value)
        case .notFound: throw ExitCode(1)
        case .failed(let reason):
            complain("postern: \(table): \(reason)")
            throw ExitCode(1)
        }
    }
}
