import Authentication
import Glibc
import MailLog
import Relay
import Resolver
import Restrictions
import Routing
import SMTPCore
package import Settings
import Spool
import Submission
import TLS
import Tables

/// Everything that can be known to be wrong before a start: what `postern check` prints and `postern start` heeds.
package struct StartupCheck {
    /// What was looked at; a line with an error is missing from it. Serve it only when the check passes. nil when main.cf or master.cf could
    /// not be read at all.
    package let configuration: Configuration?
    package private(set) var diagnostics: [Diagnostic]
    /// Read while tables were opened.
    private(set) var tableFiles = TableFiles()

    struct TableFiles: Sendable, Hashable {
        var services: [String] = []
        var queue: [String] = []
    }

    package init(configurationDirectory: String) {
        (configuration, diagnostics) = Configuration.examine(directory: configurationDirectory)
        guard let configuration else { return }
        checkServices(configuration)
        checkRelay(configuration)
        diagnostics += HostCheck.diagnostics(configuration)
        var seen: Set<Diagnostic> = []
        diagnostics = diagnostics.filter { seen.insert($0).inserted }
    }

    package var passes: Bool { configuration != nil && !diagnostics.contains { $0.severity == .error } }

    /// The findings as lines, errors first, in the order of main.cf, master.cf and the other files; then those that belong to no line.
    package func report(verbose: Bool) -> [String] {
        let order: [Diagnostic.Severity] = verbose ? [.error, .warning, .note] : [.error, .warning]
        return order.flatMap { severity in
            diagnostics.enumerated().filter { $0.element.severity == severity }.sorted { rank($0) < rank($1) }.map(\.element.description)
        }
    }

    private func rank(_ finding: (offset: Int, element: Diagnostic)) -> (Int, String, Int, Int) {
        guard let location = finding.element.location else { return (3, "", 0, finding.offset) }
        let file = location.file.split(separator: "/").last
        return (file == "main.cf" ? 0 : file == "master.cf" ? 1 : 2, location.file, location.line, finding.offset)
    }

    private mutating func checkServices(_ configuration: Configuration) {
        let tables = TableRegistry()
        let names = DeferredNameService()
        for service in configuration.smtpdServices {
            let settings = configuration.settings(for: service)
            _ = ServiceAssembly(
                settings,
                main: configuration.main,
                tables: tables,
                ownAddresses: configuration.ownAddresses,
                names: names,
                diagnostics: &diagnostics
            )
            checkAuthentication(settings)
        }
        diagnostics += tables.warnings
        tableFiles.services = tables.watchedFiles
    }

    private mutating func checkAuthentication(_ settings: ServiceSettings) {
        guard settings.bool("smtpd_sasl_auth_enable") else { return }
        do {
            _ = try AuthClientConfiguration(settings)
        } catch {
            let location = settings.location(of: "smtpd_sasl_mechanism_filter")
            diagnostics.append(Diagnostic(.error, "smtpd_sasl_mechanism_filter: \(error)", at: location))
        }
        guard settings.text("smtpd_sasl_type") == "dovecot" else { return }
        do {
            _ = try DovecotSocket(parsing: settings.text("smtpd_sasl_path"), queueDirectory: settings.text("queue_directory"))
        } catch {
            let location = settings.location(of: "smtpd_sasl_path") ?? settings.location(of: "smtpd_sasl_type")
            diagnostics.append(Diagnostic(.error, error.description, at: location))
        }
    }

    private mutating func checkRelay(_ configuration: Configuration) {
        do {
            let assembly = try RelayAssembly(configuration)
            diagnostics += assembly.warnings
            tableFiles.queue = assembly.watchedFiles
        } catch {
            diagnostics += error.diagnostics
        }
        let delivering = configuration.transports.filter { TransportCatalogue.builtInCommands.contains($0.entry.command) }
        let names = delivering.map(\.name) + TransportCatalogue.alwaysThere
        let missing = WaysOut.missing(deliverable: Set(names), settings: configuration.main)
        diagnostics += missing.map { finding in
            // The stock configuration delivers by local(8): it starts, and mail for this host is refused with 451 until a way is given.
            finding.location == nil ? Diagnostic(.warning, finding.message) : finding
        }
    }
}
