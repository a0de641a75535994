import Glibc

/// Which part of the server a process plays (Docs/design.md, section 2).
package enum Role: Sendable, Hashable, CustomStringConvertible {
    case smtpd
    case queue
    /// A SASL worker of the profile with this number.
    case authentication(profile: Int, worker: Int)

    /// The argument of the hidden `role` subcommand.
    package var argument: String {
        switch self {
        case .smtpd: "smtpd"
        case .queue: "queue"
        case .authentication(let profile, _): "auth:\(profile)"
        }
    }

    package init?(argument: String) {
        switch argument {
        case "smtpd": self = .smtpd
        case "queue": self = .queue
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
        }
    }
}

/// One role as the supervisor sees it.
struct RoleProcess {
    let role: Role
    var pid: pid_t = 0
    var control: ControlChannel?
    var startedAt = 0.0
    var isReady = false
    var logPassedAt = 0.0
    var restarts = RestartPolicy()
    /// Monotonic seconds; set while the role is down.
    var restartAt: Double?

    var isRunning: Bool { pid > 0 }
}
