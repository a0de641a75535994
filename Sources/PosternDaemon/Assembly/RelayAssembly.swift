import Relay
import Routing
import SMTPCore
import Settings
import Tables

/// What the relay is made of that comes from files: built by `postern check`, and by the queue role while it may still read them.
struct RelayAssembly {
    let relay: RelayConfiguration
    let router: AddressRouter
    private(set) var warnings: [Diagnostic] = []
    /// The files of its tables.
    let watchedFiles: [String]

    init(_ configuration: Configuration) throws(ConfigurationError) {
        let tables = TableRegistry()
        var problems = ProblemCollector()
        let router = problems.collect(
            try AddressRouter(settings: configuration.main, tables: tables, ownAddresses: configuration.ownAddresses)
        )
        let transports = configuration.transports.map { service in
            TransportService(name: service.name, command: service.entry.command, settings: service.settings, main: configuration.main)
        }
        let relay = problems.collect(
            try RelayConfiguration(
                main: configuration.main,
                transports: transports,
                tables: tables,
                ownAddresses: configuration.ownAddresses
            )
        )
        guard let router, let relay else { throw problems.error }
        self.router = router
        self.relay = relay
        watchedFiles = tables.watchedFiles
        warnings = tables.warnings + router.warnings
    }
}
