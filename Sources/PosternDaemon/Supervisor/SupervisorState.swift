import Glibc
import SMTPCore

/// What a supervisor hands to the program that takes its place: the same process, descriptors and children, another binary. Text, so that
/// versions can read each other's; one that cannot says so before anything is given up.
struct SupervisorState: Sendable, Hashable {
    static let format = "postern-state 3"

    var program = ""
    var queueDirectory = ""
    var log = LogSetup()
    var generation = 0
    var plan = ServerPlan()
    var listeners: [ListenSocket] = []
    /// See ``RoleProcess/saved``.
    var roles: [[String]] = []
    var keys: [String] = []
    var lock: CInt = -1
    var requests: CInt = -1
    /// Connections that wait for the answer to `postern upgrade`.
    var waiting: [CInt] = []

    /// Where the supervisor's own lines go.
    struct LogSetup: Sendable, Hashable {
        /// `maillog_file` and `syslog_facility`.
        var file = ""
        var facility = ""
        var hostName = ""
        var tag = ""
    }

    init() {}

    var text: String {
        var records = [[Self.format], ["program", program], ["directory", queueDirectory], ["generation", "\(generation)"]]
        records.append(["log", log.file, log.facility, log.hostName, log.tag])
        records += plan.records().map { ["plan"] + $0 }
        records += listeners.map { ["listener", "\($0.descriptor)", "\($0.address)", "\($0.port)", $0.service] }
        records += roles.map { ["role"] + $0 } + keys.map { ["key", $0] } + waiting.map { ["waiting", "\($0)"] }
        return Records.text(of: records + [["lock", "\(lock)"], ["requests", "\(requests)"]])
    }

    /// nil for anything that is not a whole state of a format known here.
    init?(text: String) {
        guard let records = Records.parse(text), records.first == [Self.format] else { return nil }
        for fields in records.dropFirst() {
            guard take(fields) else { return nil }
        }
        guard lock >= 0, !program.isEmpty, !queueDirectory.isEmpty, generation > 0 else { return nil }
    }

    private mutating func take(_ fields: [String]) -> Bool {
        switch (fields[0], fields.count) {
        case ("program", 2): program = fields[1]
        case ("directory", 2): queueDirectory = fields[1]
        case ("generation", 2): generation = Int(fields[1]) ?? 0
        case ("log", 5): log = LogSetup(file: fields[1], facility: fields[2], hostName: fields[3], tag: fields[4])
        case ("plan", 2...): return plan.take(Array(fields.dropFirst()))
        case ("listener", 5):
            guard let descriptor = CInt(fields[1]), let address = IPAddress(fields[2]), let port = UInt16(fields[3]) else { return false }
            listeners.append(ListenSocket(service: fields[4], address: address, port: port, adopting: descriptor))
        case ("role", 2...):
            roles.append(Array(fields.dropFirst()))
            return RoleProcess(saved: roles[roles.count - 1]) != nil
        case ("key", 2): keys.append(fields[1])
        case ("lock", 2): lock = CInt(fields[1]) ?? -1
        case ("requests", 2): requests = CInt(fields[1]) ?? -1
        case ("waiting", 2): if let descriptor = CInt(fields[1]) { waiting.append(descriptor) }
        // A newer version may say more.
        default: break
        }
        return true
    }
}
