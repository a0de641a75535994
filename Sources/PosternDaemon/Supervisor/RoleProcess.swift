import Glibc

/// Which part of the server a process plays (Docs/design.md, section 2).
package enum Role: Sendable, Hashable, CustomStringConvertible {
    case smtpd
    case queue
    /// A SASL worker of the profile with this number.
    case authentication(profile: Int, worker: Int)
    /// Reads the configuration for the supervisor, tells it what it must know, and ends.
    case plan

    /// The argument of the hidden `role` subcommand; the number of a worker may be left out there.
    package var argument: String {
        switch self {
        case .smtpd: "smtpd"
        case .queue: "queue"
        case .authentication(let profile, let worker): "auth:\(profile):\(worker)"
        case .plan: "plan"
        }
    }

    package init?(argument: String) {
        let parts = argument.split(separator: ":")
        let numbers = parts.dropFirst().compactMap { ControlMessage.number(String($0), below: 1024) }
        if let alone = [Role.smtpd, .queue, .plan].first(where: { $0.argument == argument }) {
            self = alone
        } else if parts.first == "auth", (2...3).contains(parts.count), numbers.count == parts.count - 1 {
            self = .authentication(profile: numbers[0], worker: numbers.count > 1 ? numbers[1] : 0)
        } else {
            return nil
        }
    }

    package var description: String {
        if case .authentication(let profile, let worker) = self { "auth worker \(profile).\(worker)" } else { argument }
    }

    var isWorker: Bool { if case .authentication = self { true } else { false } }
}

/// One role as the supervisor sees it.
final class RoleProcess {
    enum Standing: String, Sendable {
        /// Of a generation that is being prepared.
        case next
        case current
        /// Of a generation that serves its last sessions.
        case retired
    }

    let role: Role
    /// 0 for the queue role, which all generations share.
    let generation: Int
    var standing: Standing
    var pid: pid_t = 0
    var control: ControlChannel?
    /// Monotonic seconds.
    var startedAt = 0.0
    var retiredAt = 0.0
    var isReady = false
    var isStopping = false
    /// It has let so many messages pile up that one could not be sent.
    var isDeaf = false
    var sessions = 0
    /// What it says it has given up, for the administrator.
    var confinement = ""
    var restarts = RestartPolicy()
    /// How often it was started again after it had died.
    var deaths = 0
    /// Monotonic seconds; set while the role is down.
    var restartAt: Double?
    var logPassedAt = 0.0
    var budget = MessageBudget()
    var heartbeat = Heartbeat()

    init(_ role: Role, generation: Int, standing: Standing) {
        self.role = role
        self.generation = generation
        self.standing = standing
    }

    /// For the program that takes this one's place.
    var saved: [String] {
        [
            role.argument, "\(generation)", standing.rawValue, "\(pid)", "\(control?.descriptor ?? -1)", isReady ? "1" : "0", "\(deaths)",
            confinement, "\(sessions)", "\(Int(startedAt))", "\(Int(retiredAt))",
        ]
    }

    /// A running role as ``saved`` described it; nil for anything else.
    convenience init?(saved fields: [String]) {
        guard fields.count >= 11, let role = Role(argument: fields[0]), let standing = Standing(rawValue: fields[2]) else { return nil }
        let numbers = [1, 3, 4, 6, 8, 9, 10].compactMap { ControlMessage.number(fields[$0], below: 1 << 31) }
        guard numbers.count == 7, numbers[1] > 0 else { return nil }
        self.init(role, generation: numbers[0], standing: standing)
        pid = pid_t(numbers[1])
        control = ControlChannel(descriptor: CInt(numbers[2]))
        isReady = fields[5] == "1"
        deaths = numbers[3]
        confinement = fields[7]
        sessions = numbers[4]
        startedAt = Double(numbers[5])
        retiredAt = Double(numbers[6])
    }

    var isRunning: Bool { pid > 0 }

    /// Sends without ever waiting. A role that does not read is found by ``isDeaf``; one that is gone, by its end.
    func tell(_ message: ControlMessage, passing descriptor: CInt = -1) {
        if let control, case .full = control.send(message, passing: descriptor) { isDeaf = true }
    }

    /// Its death is noticed and mended like any other. Never signals another process: 0 would mean our whole group.
    func kill() { if isRunning { _ = Glibc.kill(pid, SIGKILL) } }

    func closeControl() {
        control?.close()
        control = nil
    }

    /// A role that dies again and again is not being served by being started again.
    func isLooping(at now: Double) -> Bool {
        restarts.failuresInARow >= 3 && !(isRunning && now - startedAt >= RestartPolicy.stableAfter)
    }

    var description: String { generation > 0 ? "\(role) role of generation \(generation)" : "\(role) role" }
}

/// How many messages a role may send: one that has been taken over must not keep the supervisor from its work, nor fill the log.
struct MessageBudget: Sendable, Hashable {
    static let messages = 500
    static let complaints = 10
    static let window = 10.0

    private var windowStart = 0.0
    private var received = 0
    private var complained = 0

    /// False when there were too many.
    mutating func receive(at now: Double, limit: Int = messages) -> Bool {
        if now - windowStart >= Self.window {
            self = MessageBudget()
            windowStart = now
        }
        received += 1
        return received <= limit
    }

    /// Whether one more unexpected message is worth a line in the log.
    mutating func mayComplain() -> Bool {
        complained += 1
        return complained <= Self.complaints
    }
}
