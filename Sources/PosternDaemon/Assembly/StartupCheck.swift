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

    /// The findings as lines, errors first.
    package func report(verbose: Bool) -> [String] {
        let order: [Diagnostic.Severity] = verbose ? [.error, .warning, .note] : [.error, .warning]
        return order.flatMap { severity in diagnostics.filter { $0.severity == severity }.map(\.description) }
    }

    private mutating func checkServices(_ configuration: Configuration) {
        let tables = TableRegistry()
        let names = DeferredNameService()
        for service in configuration.smtpdServices {
            let settings = configuration.settings(for: service)
            _ = ServiceAssembly(
                settings,
                tables: tables,
                ownAddresses: configuration.ownAddresses,
                names: names,
                diagnostics: &diagnostics
            )
            checkAuthentication(settings)
        }
        diagnostics += tables.warnings
    }

    private mutating func checkAuthentication(_ settings: ServiceSettings) {
        guard settings.bool("smtpd_sasl_auth_enable") else { return }
        do {
            _ = try AuthClientConfiguration(settings)
            if settings.text("smtpd_sasl_type") == "dovecot" {
                _ = try DovecotSocket(parsing: settings.text("smtpd_sasl_path"), queueDirectory: settings.text("queue_directory"))
            }
        } catch {
            diagnostics.append(Diagnostic(.error, error.description, at: settings.location(of: "smtpd_sasl_auth_enable")))
        }
    }

    private mutating func checkRelay(_ configuration: Configuration) {
        do {
            let assembly = try RelayAssembly(configuration)
            diagnostics += assembly.warnings
            let available = Set(configuration.services.map(\.name).filter { assembly.relay.catalogue.has($0) })
            diagnostics += assembly.router.classesWithoutWayOut(deliverable: available, settings: configuration.main).map { finding in
                // The stock configuration delivers by local(8): it starts, and mail for this host is refused with 451 until a way is given.
                finding.location == nil ? Diagnostic(.warning, finding.message) : finding
            }
        } catch {
            diagnostics += error.diagnostics
        }
    }
}
