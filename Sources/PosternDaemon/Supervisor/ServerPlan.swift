import SMTPCore

/// What the supervisor knows of a configuration; everything else the roles read for themselves. Made by the `plan` role, in a process that
/// may crash over a file without hurting anybody.
struct ServerPlan: Sendable, Hashable {
    struct Endpoint: Sendable, Hashable {
        var service: String
        var address: IPAddress
        var port: UInt16
        /// `file:line`, for a complaint about the port.
        var location: String
    }

    struct Certificate: Sendable, Hashable {
        var file: String
        /// Seconds since 1970.
        var expires: Int
    }

    var queueDirectory = ""
    var endpoints: [Endpoint] = []
    /// Workers for each SASL profile; empty when no service authenticates through Cyrus SASL.
    var workersPerProfile: [Int] = []
    var certificates: [Certificate] = []
    /// Files whose change starts a new generation.
    var watched: [String] = []
    /// What the queue role read looks like: its files, their sizes and times. It is started again when this differs.
    var queueFingerprint = ""
    /// What `postern check` would print.
    var findings: [String] = []

    init() {}

    /// The plan as messages, the last of which ends it.
    var items: [PlanItem] {
        [.queueDirectory(queueDirectory), .fingerprint(queueFingerprint)] + endpoints.map(PlanItem.endpoint)
            + workersPerProfile.map(PlanItem.workers) + certificates.map(PlanItem.certificate) + watched.map(PlanItem.watch)
            + findings.map(PlanItem.finding) + [.end(passes: true)]
    }

    /// More of anything than this is not a configuration.
    static let limit = 5000

    mutating func add(_ item: PlanItem) {
        guard endpoints.count + workersPerProfile.count + certificates.count + watched.count + findings.count < Self.limit else { return }
        switch item {
        case .queueDirectory(let path): queueDirectory = path
        case .fingerprint(let text): queueFingerprint = text
        case .endpoint(let endpoint): endpoints.append(endpoint)
        case .workers(let count): workersPerProfile.append(count)
        case .certificate(let certificate): certificates.append(certificate)
        case .watch(let path): watched.append(path)
        case .finding(let text): findings.append(text)
        case .end: break
        }
    }
}

/// One piece of a ``ServerPlan`` on its way to the supervisor.
enum PlanItem: Sendable, Hashable {
    case queueDirectory(String)
    case fingerprint(String)
    case endpoint(ServerPlan.Endpoint)
    case workers(Int)
    case certificate(ServerPlan.Certificate)
    case watch(String)
    /// A line of `postern check`: `file:line: message`.
    case finding(String)
    /// Nothing follows. Does the configuration pass?
    case end(passes: Bool)

    var text: String {
        let fields: [String] =
            switch self {
            case .queueDirectory(let path): ["queue", path]
            case .fingerprint(let text): ["fingerprint", text]
            case .endpoint(let endpoint): ["endpoint", "\(endpoint.address)", "\(endpoint.port)", endpoint.service, endpoint.location]
            case .workers(let count): ["workers", "\(count)"]
            case .certificate(let certificate): ["certificate", "\(certificate.expires)", certificate.file]
            case .watch(let path): ["watch", path]
            case .finding(let text): ["finding", String(text.prefix(1000))]
            case .end(let passes): ["end", passes ? "pass" : "fail"]
            }
        return fields.joined(separator: String(ControlMessage.separator))
    }

    init?(text: String) {
        let fields = text.split(separator: ControlMessage.separator, omittingEmptySubsequences: false).map(String.init)
        switch (fields.first, fields.count) {
        case ("queue", 2): self = .queueDirectory(fields[1])
        case ("fingerprint", 2): self = .fingerprint(fields[1])
        case ("endpoint", 5):
            guard let address = IPAddress(fields[1]), let port = UInt16(fields[2]) else { return nil }
            self = .endpoint(ServerPlan.Endpoint(service: fields[3], address: address, port: port, location: fields[4]))
        case ("workers", 2):
            guard let count = ControlMessage.number(fields[1], below: 1024) else { return nil }
            self = .workers(count)
        case ("certificate", 3):
            guard let expires = Int(fields[1]) else { return nil }
            self = .certificate(ServerPlan.Certificate(file: fields[2], expires: expires))
        case ("watch", 2): self = .watch(fields[1])
        case ("finding", 2): self = .finding(fields[1])
        case ("end", 2): self = .end(passes: fields[1] == "pass")
        default: return nil
        }
    }
}
