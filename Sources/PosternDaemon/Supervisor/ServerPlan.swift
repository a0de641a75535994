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
    /// Seconds between two questions whether a role works; 0 for none.
    var heartbeat = 0
    /// Files whose change starts a new generation.
    var watched: [String] = []
    /// Where something can happen to them: their directories, and those of links on the way.
    var directories: [String] = []
    /// What the queue role read looks like: its files, their sizes and times. It is started again when this differs.
    var queueFingerprint = ""
    /// What `postern check` would print.
    var findings: [String] = []

    /// The plan as messages, the last of which ends it.
    /// - Parameter passes: whether it may be served.
    func records(passes: Bool = true) -> [[String]] {
        [["queue", queueDirectory], ["fingerprint", queueFingerprint], ["heartbeat", "\(heartbeat)"]]
            + endpoints.map { ["endpoint", "\($0.address)", "\($0.port)", $0.service, $0.location] }
            + workersPerProfile.map { ["workers", "\($0)"] } + certificates.map { ["certificate", "\($0.expires)", $0.file] }
            + watched.map { ["watch", $0] } + directories.map { ["directory", $0] }
            + findings.map(Self.finding) + [Self.end(passes: passes)]
    }

    /// A line of `postern check`: `file:line: message`.
    static func finding(_ line: String) -> [String] { ["finding", String(line.prefix(1000))] }

    /// Nothing follows.
    static func end(passes: Bool) -> [String] { ["end", passes ? "pass" : "fail"] }

    /// More of anything than this is not a configuration.
    static let limit = 5000

    /// Takes one record. False when it is none; what is beyond the limit is left out.
    mutating func take(_ record: [String]) -> Bool {
        let counts = [endpoints.count, workersPerProfile.count, certificates.count, watched.count, directories.count, findings.count]
        let isFull = counts.reduce(0, +) >= Self.limit
        switch (record.first, record.count) {
        case ("queue", 2): queueDirectory = record[1]
        case ("fingerprint", 2): queueFingerprint = record[1]
        case ("heartbeat", 2):
            guard let seconds = ControlMessage.number(record[1], below: 1 << 31) else { return false }
            heartbeat = seconds
        case ("endpoint", 5):
            guard let address = IPAddress(record[1]), let port = UInt16(record[2]) else { return false }
            if !isFull { endpoints.append(Endpoint(service: record[3], address: address, port: port, location: record[4])) }
        case ("workers", 2):
            guard let count = ControlMessage.number(record[1], below: 1024) else { return false }
            if !isFull { workersPerProfile.append(count) }
        case ("certificate", 3):
            guard let expires = Int(record[1]) else { return false }
            if !isFull { certificates.append(Certificate(file: record[2], expires: expires)) }
        case ("watch", 2): if !isFull { watched.append(record[1]) }
        case ("directory", 2): if !isFull { directories.append(record[1]) }
        case ("finding", 2): if !isFull { findings.append(record[1]) }
        case ("end", 2): return ["pass", "fail"].contains(record[1])
        default: return false
        }
        return true
    }
}
