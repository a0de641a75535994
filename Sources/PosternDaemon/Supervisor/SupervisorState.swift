import Glibc
import SMTPCore

/// What a supervisor hands to the program that takes its place: the same process, descriptors and children, another binary. Text, so that
/// versions can read each other's; one that cannot says so before anything is given up.
struct SupervisorState: Sendable, Hashable {
    static let format = "postern-state 1"

    struct RoleState: Sendable, Hashable {
        var argument: String
        var worker: Int
        var generation: Int
        var standing: String
        var pid: Int
        var control: Int
        var isReady: Bool
        var deaths: Int
    }

    struct Listener: Sendable, Hashable {
        var endpoint: ServerPlan.Endpoint
        var descriptor: Int
    }

    var program = ""
    var queueDirectory = ""
    var log = LogSetup()
    var generation = 0
    var plan: [PlanItem] = []
    var listeners: [Listener] = []
    var roles: [RoleState] = []
    var keys: [String] = []
    var lock = -1
    var requests = -1
    /// Connections that wait for the answer to `postern upgrade`.
    var waiting: [Int] = []

    /// Where the supervisor's own lines go.
    struct LogSetup: Sendable, Hashable {
        /// `file /path`, `syslog 2` or `stdout`.
        var destination = "stdout"
        var hostName = ""
        var tag = ""
    }

    init() {}

    private static let separator: Character = "\t"

    var text: String {
        var lines = [[Self.format], ["program", program], ["queue", queueDirectory], ["generation", "\(generation)"]]
        lines.append(["log", log.destination, log.hostName, log.tag])
        lines += plan.map { ["plan", $0.text] }
        lines += listeners.map { one in
            ["listener", "\(one.descriptor)", PlanItem.endpoint(one.endpoint).text]
        }
        lines += roles.map {
            [
                "role", $0.argument, "\($0.worker)", "\($0.generation)", $0.standing, "\($0.pid)", "\($0.control)", $0.isReady ? "1" : "0",
                "\($0.deaths)",
            ]
        }
        lines += keys.map { ["key", $0] }
        lines += [["lock", "\(lock)"], ["requests", "\(requests)"]] + waiting.map { ["waiting", "\($0)"] } + [["end"]]
        return lines.map { fields in
            fields.map { $0.replacing("\n", with: " ").replacing("\t", with: " ") }.joined(separator: "\t") + "\n"
        }.joined()
    }

    /// nil for anything that is not a whole state of a format known here.
    init?(text: String) {
        let lines = text.split(separator: "\n").map {
            $0.split(separator: Self.separator, omittingEmptySubsequences: false).map(String.init)
        }
        guard lines.first == [Self.format], lines.last == ["end"] else { return nil }
        for fields in lines.dropFirst().dropLast() {
            guard take(fields) else { return nil }
        }
        guard lock >= 0, !program.isEmpty, !queueDirectory.isEmpty, generation > 0 else { return nil }
    }

    private mutating func take(_ fields: [String]) -> Bool {
        switch (fields[0], fields.count) {
        case ("program", 2): program = fields[1]
        case ("queue", 2): queueDirectory = fields[1]
        case ("generation", 2): generation = Int(fields[1]) ?? 0
        case ("log", 4): log = LogSetup(destination: fields[1], hostName: fields[2], tag: fields[3])
        case ("plan", 2):
            guard let item = PlanItem(text: fields[1]) else { return false }
            plan.append(item)
        case ("listener", 3):
            guard let descriptor = Int(fields[1]), case .endpoint(let endpoint)? = PlanItem(text: fields[2]) else { return false }
            listeners.append(Listener(endpoint: endpoint, descriptor: descriptor))
        case ("role", 9):
            let numbers = [fields[2], fields[3], fields[5], fields[6], fields[8]].compactMap { Int($0) }
            guard numbers.count == 5 else { return false }
            roles.append(
                RoleState(
                    argument: fields[1],
                    worker: numbers[0],
                    generation: numbers[1],
                    standing: fields[4],
                    pid: numbers[2],
                    control: numbers[3],
                    isReady: fields[7] == "1",
                    deaths: numbers[4]
                )
            )
        case ("key", 2): keys.append(fields[1])
        case ("lock", 2): lock = Int(fields[1]) ?? -1
        case ("requests", 2): requests = Int(fields[1]) ?? -1
        case ("waiting", 2): if let descriptor = Int(fields[1]) { waiting.append(descriptor) }
        // A newer version may say more.
        default: break
        }
        return true
    }
}
