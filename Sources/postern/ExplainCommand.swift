import ArgumentParser
import NIOCore
import NIOPosix
import PosternDaemon
import Resolver
import Restrictions
import Routing
import SMTPCore
import Settings
import Tables

/// `postern explain`: which restriction decides about a recipient, and why. Asks DNS and tables as the server would; sends nothing.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Show which restriction decides about a recipient, and why.",
        discussion: "Exit status 0 if the recipient is accepted, 1 if it is refused, 2 if the question cannot be asked."
    )

    @OptionGroup var source: ConfigurationOption

    @Option(help: "The service: its name in master.cf, or its port.")
    var service: String?

    @Option(help: "The client's IP address.")
    var client = "192.0.2.1"

    @Option(help: "The client's verified host name, instead of asking DNS.")
    var name: String?

    @Option(help: "What the client says in EHLO.")
    var helo: String?

    @Option(help: "The name the client has logged in with.")
    var login: String?

    @Flag(help: "The session is encrypted.")
    var tls = false

    @Option(name: [.customLong("from"), .customLong("sender")], help: "The sender; empty for a bounce.")
    var from = ""

    @Option(help: "The recipient.")
    var to: String

    func run() async throws {
        guard let address = IPAddress(client) else { throw ValidationError("--client: \"\(client)\" is not an IP address") }
        let (loaded, diagnostics) = Configuration.load(directory: source.resolved)
        guard let configuration = loaded else { throw failure(diagnostics.filter { $0.severity == .error }) }
        let chosen = try choose(configuration)
        let settings = configuration.settings(for: chosen)

        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var warnings: [String] = []
        let names = StubResolver(try ResolverConfiguration.read(warnings: &warnings), group: group)
        do {
            let tables = TableRegistry()
            let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: configuration.ownAddresses)
            let evaluator = try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: names)
            let report = await ExplainReport(
                service: "\(chosen.name) (\(chosen.entry.location))",
                settings: settings,
                facts: await facts(address, settings, names),
                evaluator: evaluator,
                router: router
            )
            try? await group.shutdownGracefully()
            print(report.text, terminator: "")
            if report.rejection != nil { throw ExitCode(1) }
        } catch let error as ConfigurationError {
            try? await group.shutdownGracefully()
            throw failure(error.diagnostics)
        }
    }

    private func facts(_ address: IPAddress, _ settings: ServiceSettings, _ names: any NameService) async -> SessionFacts {
        var peer = PeerName.unknown
        if let name {
            peer = PeerName(name: name, reverseName: name, status: .verified)
        } else if settings.bool("smtpd_peername_lookup") {
            peer = await names.peerName(of: address)
        }
        var facts = SessionFacts(clientAddress: address, peerName: peer)
        facts.heloName = helo
        facts.sender = Self.address(from)
        facts.recipient = Self.address(to)
        facts.tlsActive = tls || settings.bool("smtpd_tls_wrappermode")
        facts.saslUsername = login
        facts.saslMethod = login == nil ? nil : "PLAIN"
        return facts
    }

    private func choose(_ configuration: Configuration) throws -> MasterService {
        let services = configuration.smtpdServices
        guard let service else {
            guard let first = services.first else { throw ValidationError("master.cf has no smtpd service") }
            return first
        }
        let found = services.first { candidate in
            guard candidate.name != service, case .smtpd(let addresses) = candidate.role else { return candidate.name == service }
            return addresses.contains { "\($0.port)" == service || "\($0)" == service }
        }
        guard let found else {
            throw ValidationError("--service: no smtpd service \"\(service)\"; there are: \(services.map(\.name).joined(separator: ", "))")
        }
        return found
    }

    private func failure(_ diagnostics: [Diagnostic]) -> any Error {
        for diagnostic in diagnostics { complain("\(diagnostic)") }
        return ExitCode(2)
    }

    /// An address as one would write it on a command line: brackets and quotes are optional.
    private static func address(_ text: String) -> Address {
        var bare = text[...]
        if bare.first == "<", bare.last == ">" { bare = bare.dropFirst().dropLast() }
        if bare.isEmpty { return .null }
        let at = bare.lastIndex(of: "@")
        var local = at.map { bare[..<$0] } ?? bare
        if local.utf8.count > 1, local.first == "\"", local.last == "\"" { local = local.dropFirst().dropLast() }
        return Address(localPart: String(local), domain: at.map { String(bare[bare.index(after: $0)...]) })
    }
}
