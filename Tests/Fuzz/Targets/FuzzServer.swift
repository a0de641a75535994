import Glibc
import MailLog
import NIOCore
import Resolver
import Restrictions
import Routing
import SMTPCore
import Settings
import Synchronization
import TLS
import Tables

@testable import Submission

/// A service with what it writes to. Making one reads all its parameters, so each serves one connection after the other.
final class FuzzServer: Sendable {
    let values: [String: String]
    let service: SubmissionService
    let registry = SessionRegistry(firstNumber: 1)
    let log = RecordingLog()
    private let limits = ClientLimits(capacity: 64)

    private static let idle = Mutex<[FuzzServer]>([])

    static func taken(_ values: [String: String]) throws -> FuzzServer {
        let found = idle.withLock { idle in idle.firstIndex { $0.values == values }.map { idle.remove(at: $0) } }
        return try found ?? FuzzServer(values)
    }

    static func giveBack(_ server: FuzzServer) { idle.withLock { $0.append(server) } }

    private init(_ values: [String: String]) throws {
        self.values = values
        var main = [
            "myhostname": "mx.test.example", "smtpd_peername_lookup": "no", "local_recipient_maps": "", "alias_maps": "",
            "local_transport": "lmtp:unix:lmtp", "smtpd_error_sleep_time": "0", "smtpd_client_connection_count_limit": "0",
            "smtpd_sasl_auth_enable": "yes", "smtpd_tls_auth_only": "no",
        ]
        main.merge(values) { $1 }
        let settings = ServiceSettings.testing(main, serviceName: "smtp")
        let tables = TableRegistry()
        let loopback: IPAddress = .v4(0x7F00_0001)
        let router = try AddressRouter(settings: settings, tables: tables, ownAddresses: [loopback])
        service = SubmissionService(
            policy: try SessionPolicy(settings, tables: tables, ownAddresses: OwnAddresses([loopback])),
            tls: FuzzTLS.shared.server,
            authenticator: ScriptedLogin(),
            rules: try RestrictionEvaluator(settings: settings, tables: tables, router: router, names: NoNames()),
            router: router,
            names: NoNames(),
            logSink: log,
            fastFlush: try DomainList(fastFlush: settings, tables: tables),
            registry: registry,
            limits: limits
        )
    }

    /// A connection has ended: nothing of it is counted any more.
    func requireIdle() throws {
        try require(registry.count == 0, "the session goes on after its client has gone")
        try require(registry.bodyMemory.bytes == 0, "\(registry.bodyMemory.bytes) bytes of content are still counted")
        let open = ClientSnapshot(limits.snapshot())?.clients.first { $0.connections > 0 }
        try require(open == nil, "a connection is still counted for \(open?.client.description ?? "")")
    }
}

/// Nothing has a name, and no name exists.
private struct NoNames: NameService {
    func addresses(of host: String) async -> NameAnswer<[IPAddress]> { IPAddress(host).map { .found([$0]) } ?? .noSuchDomain }
    func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> { .noSuchDomain }
    func peerName(of address: IPAddress) async -> PeerName { .unknown }
}

/// The two ends' contexts, with a certificate made for this process.
struct FuzzTLS: Sendable {
    let server: TLSContext
    let client: TLSContext

    static let shared = FuzzTLS()

    private init() {
        let directory = "/tmp/postern-fuzz-\(UInt64.random(in: 0 ... .max))"
        let pair = TLSKeyPair(certificateFile: "\(directory)/cert.pem", keyFile: "\(directory)/key.pem")
        var configuration = TLSServerConfiguration()
        configuration.pair = pair
        do {
            guard unsafe mkdir(directory, 0o700) == 0 else { preconditionFailure("cannot make \(directory)") }
            defer { for file in [pair.certificateFile, pair.keyFile, directory] { unsafe remove(file) } }
            try SelfSignedCertificate.make(names: ["mx.test.example"]).write(certificateFile: pair.certificateFile, keyFile: pair.keyFile)
            server = try TLSContext.server(configuration)
            client = try TLSContext.client(TLSClientConfiguration())
        } catch { preconditionFailure("no TLS: \(error)") }
    }
}
