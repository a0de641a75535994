import SMTPCore
package import Settings
import Tables

/// One line of master.cf that names a transport: `relay unix - - y - - smtp -o syslog_name=postfix/relay`.
package struct TransportService: Sendable {
    /// First column: `smtp`, `relay`, `lmtp`, `retry`, ...
    package var name: String
    /// The command without its arguments: `smtp`, `lmtp`, `error`, `discard`, `pipe`, `local`, ...
    package var command: String
    /// main.cf with the line's `-o` overrides.
    package var settings: ServiceSettings
    /// `NAME_destination_concurrency_limit`, or `default_destination_concurrency_limit` where that is not set. 0 is no limit.
    package var concurrencyLimit: Int
    /// `NAME_destination_recipient_limit`, or `default_destination_recipient_limit` where that is not set. 0 is no limit.
    package var recipientLimit: Int
    /// `NAME_initial_destination_concurrency`, or `initial_destination_concurrency` where that is not set.
    package var initialConcurrency: Int

    package init(
        name: String,
        command: String,
        settings: ServiceSettings,
        concurrencyLimit: Int = 20,
        recipientLimit: Int = 50,
        initialConcurrency: Int = 5
    ) {
        self.name = name
        self.command = command
        self.settings = settings
        self.concurrencyLimit = concurrencyLimit
        self.recipientLimit = recipientLimit
        self.initialConcurrency = initialConcurrency
    }
}

/// A transport this server can deliver by.
struct Transport: Sendable {
    enum Kind: Sendable {
        /// smtp(8) and lmtp(8).
        case client(ClientSettings)
        /// error(8) under its names `error` (gives up) and `retry` (defers).
        case error
        case discard
    }

    var name: String
    var kind: Kind
    /// `postfix/smtp`, by `syslog_name` and command.
    var logTag: String
    /// `soft_bounce`: what would bounce is deferred.
    var softBounce = false
    var concurrencyLimit: Int
    var recipientLimit: Int
    var initialConcurrency: Int
}

/// The transports of master.cf by name. Those of a kind not built in (`local`, `virtual`, `pipe`) are absent: mail for them is deferred
/// with "mail transport unavailable", as Postfix does for a name that master.cf does not have.
package struct TransportCatalogue: Sendable {
    private(set) var transports: [String: Transport]
    /// What mail for an unknown transport is logged under, and what defers for a destination known to be dead.
    let retryLogTag: String

    /// Commands that this server delivers by.
    package static let builtInCommands: Set<String> = ["smtp", "lmtp", "error", "discard"]
    /// Routing sends what cannot be delivered to these two, so they work even if master.cf has lost them.
    package static let alwaysThere = ["error", "retry"]

    func transport(_ name: String) -> Transport? { transports[name] }
}

extension TransportCatalogue {
    init(
        _ services: [TransportService],
        main: ServiceSettings,
        tables: TableRegistry,
        ownAddresses: Set<IPAddress>,
        problems: inout [Diagnostic]
    ) {
        var transports: [String: Transport] = [:]
        for service in services {
            let kind: Transport.Kind
            switch service.command {
            case "smtp", "lmtp":
                let dialect = service.command == "lmtp" ? ClientSettings.Dialect.lmtp : .smtp
                guard
                    let client = ClientSettings(
                        service.settings,
                        dialect: dialect,
                        tables: tables,
                        ownAddresses: ownAddresses,
                        problems: &problems
                    )
                else { continue }
                kind = .client(client)
            case "error": kind = .error
            case "discard": kind = .discard
            default: continue
            }
            transports[service.name] = Transport(
                name: service.name,
                kind: kind,
                logTag: "\(service.settings.text("syslog_name"))/\(service.command)",
                softBounce: service.settings.bool("soft_bounce"),
                concurrencyLimit: service.concurrencyLimit,
                recipientLimit: service.recipientLimit,
                initialConcurrency: service.initialConcurrency
            )
        }
        self.transports = transports
        retryLogTag = "\(main.text("syslog_name"))/error"
        for name in Self.alwaysThere where self.transports[name] == nil {
            self.transports[name] = Transport(
                name: name,
                kind: .error,
                logTag: retryLogTag,
                concurrencyLimit: 0,
                recipientLimit: 0,
                initialConcurrency: 1
            )
        }
    }

    /// Stands for a name that master.cf does not have, or has with a command that is not built in.
    func unknownTransport(named name: String) -> Transport {
        Transport(name: name, kind: .error, logTag: retryLogTag, concurrencyLimit: 0, recipientLimit: 0, initialConcurrency: 1)
    }
}

extension TransportService {
    /// A line of master.cf with the limits main.cf has for its name.
    package init(name: String, command: String, settings: ServiceSettings, main: ServiceSettings) {
        func limit(_ suffix: String) -> Int {
            // `smtp_destination_concurrency_limit` and its like are parameters made from a transport's name.
            if let text = main.definedText("\(name)_\(suffix)"), let value = Int(text) { return value }
            return main.integer(suffix.hasPrefix("initial") ? suffix : "default_\(suffix)")
        }
        self.init(
            name: name,
            command: command,
            settings: settings,
            concurrencyLimit: limit("destination_concurrency_limit"),
            recipientLimit: limit("destination_recipient_limit"),
            initialConcurrency: limit("initial_destination_concurrency")
        )
    }
}
