import Glibc

/// Which part of the server a process plays (Docs/design.md, section 2).
package enum Role: Sendable, Hashable, CustomStringConvertible {
    case smtpd
    case queue
    /// A SASL worker of the profile with this number.
    case authentication(profile: Int, worker: Int)
    /// Reads the configuration for the supervisor, tells it what it must know, and ends.
    case plan

    /// The argument of the hidden `role` subcommand.
    package var argument: String {
        switch self {
        case .smtpd: "smtpd"
        case .queue: "queue"
        case .authentication(let profile, _): "auth:\(profile)"
        case .plan: "plan"
        }
    }

    package init?(argument: String) {
        switch argument {
        case "smtpd": self = .smtpd
        case "queue": self = .queue
        case "plan": self = .plan
        default:
            let parts = argument.split(separator: ":")
            guard parts.count == 2, parts[0] == "auth", let profile = Int(parts[1]), profile >= 0 else { return nil }
            self = .authentication(profile: profile, worker: 0)
        }
    }

    package var description: String {
        switch self {
        case .smtpd: "smtpd"
        case .queue: "queue"
        case .authentication(let profile, let worker): "auth worker \(profile).\(worker)"
        case .plan: "plan"
        }
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
    var sessions = 0
    var restarts = RestartPolicy()
    /// How often it was started again after it had died.
    var deaths = 0
    /// Monotonic seconds; set while the role is down.
    var restartAt: Double?
    var logPassedAt = 0.0
    var budget = MessageBudget()

    init(_ role: Role, generation: Int, standing: Standing) {
        self.role = role
        self.generation = generation
        self.standing = standing
    }

    var isRunning: Bool { pid > 0 }

    /// A role that dies again and again is not being served by being started again.
    var isLooping: Bool { restarts.failuresInARow >= 3 }

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
        if now - windowStart >= Self.window { self = MessageBudget(windowStart: now) }
        received += 1
        return received <= limit
    }

    /// Whether one more unexpected message is worth a line in the log.
    mutating func mayComplain() -> Bool {
        complained += 1
        return complained <= Self.complaints
    }

    init() {}
    private init(windowStart: Double) { self.windowStart = windowStart }
}
