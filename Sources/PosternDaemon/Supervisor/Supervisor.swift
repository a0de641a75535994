import Glibc
import MailLog

/// The trusted part: starts the roles, gives them their descriptors, restarts the dead, ends them all. It reads signals and the roles'
/// short messages, nothing else; no byte of the network reaches it.
final class Supervisor {
    private let plan: ServerPlan
    private let listeners: [ListenSocket]
    private let log: MailLog
    private let signals: SignalDescriptor
    private var roles: [RoleProcess]
    private var stopping: Stop?
    /// Called once, when every role has reported ready.
    private var onReady: (() -> Void)?
    private var startFailure: String?
    private var manager = ServiceManager()

    private struct Stop {
        var deadline: Double
        var phase: Int
        var killed = false
    }

    init(plan: ServerPlan, listeners: [ListenSocket], log: MailLog, signals: SignalDescriptor, onReady: @escaping () -> Void) {
        self.plan = plan
        self.listeners = listeners
        self.log = log
        self.signals = signals
        self.onReady = onReady
        // The order is that of the descriptors' flow; each role finds its peers by messages, so any order of death works.
        roles = [RoleProcess(role: .queue)]
        for (profile, workers) in plan.workersPerProfile.enumerated() {
            for worker in 0..<workers { roles.append(RoleProcess(role: .authentication(profile: profile, worker: worker))) }
        }
        roles.append(RoleProcess(role: .smtpd))
    }

    /// Runs until told to stop. Returns the process's exit status.
    func run() -> CInt {
        for index in roles.indices { start(index) }
        while true {
            let running = roles.compactMap(\.control)
            let readable = waitReadable([signals.descriptor] + running.map(\.descriptor), atMost: nextDeadline())
            if readable.contains(signals.descriptor) { for signal in signals.read() { handle(signal) } }
            for control in running where readable.contains(control.descriptor) { receive(on: control) }
            if let status = advance() { return status }
        }
    }

    // MARK: Starting

    private func start(_ index: Int) {
        let role = roles[index].role
        do {
            let (own, theirs) = try ControlChannel.pair()
            defer { theirs.close() }
            roles[index].pid = try ChildProcess.start(
                ChildProcess.ownPath(),
                ["role", role.argument, "-c", plan.configurationDirectory],
                control: theirs.descriptor
            )
            roles[index].control = own
            roles[index].startedAt = monotonicSeconds()
            roles[index].isReady = false
            roles[index].restartAt = nil
        } catch {
            log.error("cannot start the \(role) role: \(error)")
            roles[index].restartAt = monotonicSeconds() + RestartPolicy.longestPause
            return
        }
        introduce(index)
        roles[index].control?.send(.start)
    }

    /// Connects a role that has just been started with its neighbours.
    private func introduce(_ index: Int) {
        switch roles[index].role {
        case .smtpd:
            for listener in listeners {
                let address = listener.display
                roles[index].control?.send(.listen(service: listener.service, address: address), passing: listener.descriptor)
            }
            connectHandOffs()
            for (worker, process) in roles.enumerated() {
                if case .authentication = process.role { connectWorker(worker) }
            }
        case .queue: connectHandOffs()
        case .authentication: connectWorker(index)
        }
    }

    private func connectHandOffs() {
        guard let smtpd = control(of: .smtpd), let queue = control(of: .queue) else { return }
        for loop in 0..<plan.loops { connect(smtpd, queue, .handOff(loop: loop)) }
    }

    private func connectWorker(_ index: Int) {
        guard case .authentication(let profile, _) = roles[index].role, let worker = roles[index].control, let smtpd = control(of: .smtpd)
        else { return }
        connect(smtpd, worker, .authentication(profile: profile))
    }

    /// Gives each of two roles one end of a new connection. An end nobody takes is closed with its datagram, which the other side notices.
    private func connect(_ one: ControlChannel, _ other: ControlChannel, _ message: ControlMessage) {
        guard let (a, b) = try? socketPair() else { return log.error("socketpair: \(errorText(errno))") }
        one.send(message, passing: a)
        other.send(message, passing: b)
        close(a)
        close(b)
    }

    private func control(of role: Role) -> ControlChannel? { roles.first { $0.role == role }?.control }

    // MARK: Events

    private func receive(on control: ControlChannel) {
        guard let index = roles.firstIndex(where: { $0.control?.descriptor == control.descriptor }) else { return }
        switch control.receive() {
        case .message(.ready, _):
            roles[index].isReady = true
            if let onReady, roles.allSatisfy(\.isReady) {
                self.onReady = nil
                onReady()
            }
        case .message(.reopenLog, _):
            // At most once a second: a role is not trusted with our time.
            if monotonicSeconds() - roles[index].logPassedAt >= 1 { passLog(to: index) }
        case .message(.failed(let reason), _):
            log.fatal("\(roles[index].role): \(reason)")
            if onReady != nil { startFailure = startFailure ?? reason }
        case .message(_, let descriptor):
            log.warning("\(roles[index].role) role sent an unexpected message")
            if let descriptor { close(descriptor) }
        case .malformed: log.warning("\(roles[index].role) role sent a malformed message")
        case .closed:
            roles[index].control?.close()
            roles[index].control = nil
        }
    }

    private func handle(_ signal: CInt) {
        switch signal {
        case SIGCHLD: reapAll()
        case SIGTERM, SIGINT: beginStop()
        case SIGUSR1:
            (log.sink as? LogWriter)?.reopen()
            for index in roles.indices { passLog(to: index) }
        case SIGHUP: log.warning("reload is not available yet: restart to apply a changed configuration")
        default: break
        }
    }

    /// Gives a role a new descriptor of the log, which it can no longer open for itself.
    private func passLog(to index: Int) {
        let fresh = (log.sink as? LogWriter)?.freshDescriptor()
        roles[index].logPassedAt = monotonicSeconds()
        roles[index].control?.send(.reopenLog, passing: fresh ?? -1)
        if let fresh { close(fresh) }
    }

    private func reapAll() {
        while let (pid, end) = ChildProcess.reap() {
            guard let index = roles.firstIndex(where: { $0.pid == pid }) else { continue }
            let lifetime = monotonicSeconds() - roles[index].startedAt
            roles[index].pid = 0
            roles[index].isReady = false
            // A last message (why it failed) may still be waiting.
            while let control = roles[index].control { receive(on: control) }
            if stopping != nil { continue }
            let pause = roles[index].restarts.pause(afterLifetime: lifetime)
            roles[index].restartAt = monotonicSeconds() + pause
            log.warning("\(roles[index].role) role, process \(pid), \(end): starting it again\(pause > 0 ? " in \(Int(pause)) s" : "")")
        }
    }

    // MARK: Time

    private func nextDeadline() -> Double {
        let now = monotonicSeconds()
        let times = roles.compactMap(\.restartAt) + [stopping?.deadline, manager.ping(at: now)].compactMap { $0 }
        return max(0, (times.min() ?? now + 60) - now)
    }

    /// Does what is due; an exit status when everything has ended.
    private func advance() -> CInt? {
        if startFailure != nil, stopping == nil { beginStop() }
        if stopping != nil { return advanceStop() }
        let now = monotonicSeconds()
        for index in roles.indices {
            if let time = roles[index].restartAt, time <= now { start(index) }
        }
        return nil
    }

    private func beginStop() {
        guard stopping == nil else { return }
        for index in roles.indices { roles[index].restartAt = nil }
        stopping = Stop(deadline: monotonicSeconds() + plan.stopLimit, phase: 0)
        manager.stopping()
        // Sessions first: the queue must still be there to take what they are committing.
        control(of: .smtpd)?.send(.stop)
    }

    private func advanceStop() -> CInt? {
        guard var stop = stopping else { return nil }
        let now = monotonicSeconds()
        if stop.phase == 0, !roles.contains(where: { $0.role == .smtpd && $0.isRunning }) {
            stop = Stop(deadline: now + plan.stopLimit, phase: 1)
            for role in roles { role.control?.send(.stop) }
        }
        if now >= stop.deadline, !stop.killed {
            stop.killed = true
            stop.deadline = now + 5
            for role in roles where role.isRunning && (stop.phase == 1 || role.role == .smtpd) {
                log.warning("\(role.role) role did not end in time: killing process \(role.pid)")
                kill(role.pid, SIGKILL)
            }
        }
        stopping = stop
        return roles.contains(where: \.isRunning) ? nil : (startFailure == nil ? 0 : 1)
    }
}
