import Glibc
import MailLog

/// The trusted part: starts the roles, gives them their descriptors, replaces them by new generations, restarts the dead, ends them all. It
/// reads signals, the administrator's requests and the roles' short messages, nothing else; no byte of the network reaches it, and no file
/// that the configuration names is parsed here.
final class Supervisor {
    struct Setup {
        var configurationDirectory: String
        var queueDirectory: String
        /// The program to run roles from; a file that may have been replaced by a newer one meanwhile.
        var program: String
        /// Event loops of the smtpd role, and so hand-off connections to the queue role.
        var loops: Int
        let log: MailLog
        let logSetup: SupervisorState.LogSetup
        let signals: SignalDescriptor
        let lock: PIDFile
        /// Seconds sessions may take to finish after SIGTERM.
        var stopLimit = 15.0
    }

    let setup: Setup
    var log: MailLog { setup.log }
    /// Of the generation that accepts.
    var plan: ServerPlan
    var listeners: [ListenSocket]
    var generation: Int
    var roles: [RoleProcess] = []
    var attempt: Attempt?
    /// Why to reload again once the attempt under way has ended.
    var nextReload: String?
    var wantsUpgrade = false
    var lastReload: ReloadResult?
    var queueMustRestart = false
    var watch = FileWatch()
    var keys = TicketKeyRing()
    var requests: RequestSocket?
    let startedAt: Int
    private var stopping: Stop?
    /// Called once, when every role has reported ready.
    private var onReady: (() -> Void)?
    private var startFailure: String?
    var manager = ServiceManager()

    private struct Stop {
        var deadline: Double
        var phase: Int
        var killed = false
    }

    init(_ setup: Setup, plan: ServerPlan, listeners: [ListenSocket], generation: Int = 1, onReady: (() -> Void)? = nil) {
        self.setup = setup
        self.plan = plan
        self.listeners = listeners
        self.generation = generation
        self.onReady = onReady
        startedAt = time(nil)
    }

    /// Runs until told to stop. Returns the process's exit status.
    func run() -> CInt {
        openRequests()
        watch.follow(plan)
        _ = keys.rotate(now: monotonicSeconds())
        roles = [RoleProcess(.queue, generation: 0, standing: .current)] + makeRoles(of: plan, generation: generation, standing: .current)
        for role in roles { start(role) }
        return serve()
    }

    /// - Parameter afterUpgrade: signals may have come while the program was replaced.
    func serve(afterUpgrade: Bool = false) -> CInt {
        if afterUpgrade { reapAll() }
        while true {
            let running = roles.filter { $0.control != nil }
            let own = [setup.signals.descriptor, watch.descriptor] + (requests?.descriptors ?? [])
            let readable = waitReadable(own + running.compactMap(\.control?.descriptor), atMost: nextDeadline())
            if readable.contains(setup.signals.descriptor) { for signal in setup.signals.read() { handle(signal) } }
            requests?.flush()
            if readable.contains(watch.descriptor) { watch.stir(now: monotonicSeconds()) }
            for request in requests?.take(readable) ?? [] { answer(request) }
            for role in running where role.control.map({ readable.contains($0.descriptor) }) == true { receive(from: role) }
            if let status = advance() { return status }
        }
    }

    /// The roles of one generation, workers first.
    func makeRoles(of plan: ServerPlan, generation: Int, standing: RoleProcess.Standing) -> [RoleProcess] {
        var made: [RoleProcess] = []
        for (profile, workers) in plan.workersPerProfile.enumerated() {
            for worker in 0..<workers {
                made.append(RoleProcess(.authentication(profile: profile, worker: worker), generation: generation, standing: standing))
            }
        }
        return made + [RoleProcess(.smtpd, generation: generation, standing: standing)]
    }

    // MARK: Starting

    /// - Parameter program: another one than that which runs.
    func start(_ role: RoleProcess, program: String? = nil, _ more: String...) {
        role.startedAt = monotonicSeconds()
        role.isReady = false
        role.isStopping = false
        role.restartAt = nil
        role.heartbeat = Heartbeat()
        role.sessions = 0
        role.confinement = ""
        do {
            let (own, theirs) = try ControlChannel.pair()
            defer { theirs.close() }
            own.neverWait()
            let path = program ?? ChildProcess.samePath(as: setup.program)
            let arguments = ["role", role.role.argument, "-c", setup.configurationDirectory] + more
            role.pid = try ChildProcess.start(path, named: setup.program, arguments, control: theirs.descriptor)
            role.control = own
        } catch {
            log.error("cannot start the \(role.description): \(error)")
            role.restartAt = monotonicSeconds() + RestartPolicy.longestPause
            if role.standing == .next { fail("\(error)") }
            return
        }
        introduce(role)
    }

    /// Connects a role that has just been started with its neighbours.
    private func introduce(_ role: RoleProcess) {
        switch role.role {
        case .smtpd:
            role.tell(.ticketKeys(keys.keys))
            for listener in role.standing == .next ? attempt?.listeners ?? [] : listeners {
                role.tell(.listen(service: listener.service, address: listener.display), passing: listener.descriptor)
            }
            connectHandOffs(of: role)
            for worker in roles where worker.role.isWorker && worker.generation == role.generation { connect(role, with: worker) }
        case .queue: for smtpd in roles where smtpd.role == .smtpd { connectHandOffs(of: smtpd) }
        case .authentication:
            for smtpd in roles where smtpd.role == .smtpd && smtpd.generation == role.generation { connect(smtpd, with: role) }
        case .plan: break
        }
    }

    private func connectHandOffs(of smtpd: RoleProcess) {
        guard let queue = roles.first(where: { $0.role == .queue && $0.control != nil }), smtpd.control != nil else { return }
        for loop in 0..<setup.loops { connect(smtpd, queue, .handOff(loop: loop)) }
    }

    private func connect(_ smtpd: RoleProcess, with worker: RoleProcess) {
        guard case .authentication(let profile, _) = worker.role, smtpd.control != nil, worker.control != nil else { return }
        connect(smtpd, worker, .authentication(profile: profile))
    }

    /// Gives each of two roles one end of a new connection. An end nobody takes is closed with its datagram, which the other side notices.
    private func connect(_ one: RoleProcess, _ other: RoleProcess, _ message: ControlMessage) {
        guard let (a, b) = try? socketPair() else { return log.error("socketpair: \(errorText(errno))") }
        one.tell(message, passing: a)
        other.tell(message, passing: b)
        close(a)
        close(b)
    }

    // MARK: Events

    /// What a role says is a stranger's word: bounded in size by the channel, in number here, and believed only where it harms nobody else.
    private func receive(from role: RoleProcess) {
        guard let control = role.control else { return }
        let received = control.receive()
        if case .closed = received { return role.closeControl() }
        guard role.budget.receive(at: monotonicSeconds(), limit: role.role == .plan ? 2 * ServerPlan.limit : MessageBudget.messages) else {
            return drop(role, "sends too many messages")
        }
        switch received {
        case .message(.ready, nil) where !role.isReady: becameReady(role)
        case .message(.alive, nil):
            if role.heartbeat.answered() { log.info("\(role.description), process \(role.pid), responds again") }
        case .message(.reopenLog, nil):
            // At most once a second: a role is not trusted with our time.
            if monotonicSeconds() - role.logPassedAt >= 1 { passLog(to: role) }
        case .message(.failed(let reason), nil):
            log.fatal("\(role.description): \(reason)")
            if onReady != nil { startFailure = startFailure ?? reason }
            if role.standing == .next, role.role != .plan { fail(reason) }
        case .message(.sessions(let count), nil) where role.role == .smtpd: role.sessions = count
        case .message(.confined(let text), nil): role.confinement = String(text.prefix(300))
        case .message(.plan(let record), nil) where role.role == .plan && role.standing == .next: took(record)
        case .message(_, let descriptor):
            if role.budget.mayComplain() { log.warning("\(role.description) sent an unexpected message") }
            if let descriptor { close(descriptor) }
        case .malformed: if role.budget.mayComplain() { log.warning("\(role.description) sent a malformed message") }
        case .nothing, .closed: break
        }
    }

    /// A role that has been taken over, or hangs.
    func drop(_ role: RoleProcess, _ reason: String) {
        log.error("\(role.description) \(reason): killing process \(role.pid)")
        role.isDeaf = false
        role.closeControl()
        role.kill()
    }

    private func becameReady(_ role: RoleProcess) {
        role.isReady = true
        if role.standing == .next { return commitIfReady() }
        if role.role == .smtpd { role.tell(.start) }
        if role.role == .queue { settle() }
        if let onReady, roles.allSatisfy(\.isReady) {
            self.onReady = nil
            onReady()
        }
    }

    private func handle(_ signal: CInt) {
        switch signal {
        case SIGCHLD: reapAll()
        case SIGTERM, SIGINT:
            if stopping == nil { log.info("terminating on signal \(signal)") }
            beginStop()
        case SIGUSR1:
            (log.sink as? LogWriter)?.reopen()
            for role in roles { passLog(to: role) }
        case SIGHUP: reload("SIGHUP")
        default: break
        }
    }

    /// Gives a role a new descriptor of the log, which it can no longer open for itself.
    private func passLog(to role: RoleProcess) {
        let fresh = (log.sink as? LogWriter)?.freshDescriptor()
        role.logPassedAt = monotonicSeconds()
        role.tell(.reopenLog, passing: fresh ?? -1)
        if let fresh { close(fresh) }
    }

    private func reapAll() {
        while let (pid, end) = ChildProcess.reap() {
            guard let role = roles.first(where: { $0.pid == pid }) else { continue }
            // From here on the number may be another process's.
            role.pid = 0
            // Last messages (why it failed, the end of a plan) may still be waiting; bounded, as are all.
            for _ in 0...(2 * ServerPlan.limit) where role.control != nil {
                receive(from: role)
            }
            role.closeControl()
            role.isReady = false
            ended(role, pid, end)
        }
    }

    private func ended(_ role: RoleProcess, _ pid: pid_t, _ end: ChildProcess.End) {
        if stopping != nil {
            if end != .exited(0) { log.warning("\(role.description), process \(pid), \(end)") }
            return
        }
        if role.standing != .current {
            roles.removeAll { $0 === role }
            if role.standing == .next {
                fail("the \(role.role) role ended: \(end)")
            } else if role.role == .smtpd, role.retiredAt > 0 {
                log.info("generation \(role.generation) has ended\(end == .exited(0) ? "" : ": \(end)")")
            }
            return
        }
        if role.role == .queue {
            if role.isStopping { return start(role) }
            if attempt?.isServing == true { fail("the queue role ended: \(end)") }
        }
        role.deaths += 1
        let pause = role.restarts.pause(afterLifetime: monotonicSeconds() - role.startedAt)
        role.restartAt = monotonicSeconds() + pause
        log.warning("\(role.description), process \(pid), \(end): starting it again\(pause > 0 ? " in \(Int(pause)) s" : "")")
    }

    // MARK: Time

    private func nextDeadline() -> Double {
        let now = monotonicSeconds()
        var times =
            roles.compactMap(\.restartAt) + [stopping?.deadline, attempt?.deadline, watch.checkAt, manager.ping(at: now)].compactMap { $0 }
        if roles.contains(where: { $0.standing == .retired || $0.isStopping }) { times.append(now + 1) }
        if plan.heartbeat > 0 { times += roles.filter(isAsked).map(\.heartbeat.lookAt) }
        times += [keys.rotateAt] + (requests?.deadline.map { [$0] } ?? [])
        // Whoever is slow to read his answer is looked after twenty times a second, for as long as he may take.
        if requests?.isAnswering == true { times.append(now + 0.05) }
        return max(0, min(times.min() ?? now + 60, now + 60) - now)
    }

    /// Does what is due; an exit status when everything has ended.
    private func advance() -> CInt? {
        for role in roles where role.isDeaf && role.isRunning { drop(role, "does not read its messages") }
        if startFailure != nil, stopping == nil { beginStop() }
        if stopping != nil { return advanceStop() }
        let now = monotonicSeconds()
        for role in roles {
            if let time = role.restartAt, time <= now { start(role) }
        }
        if let attempt, now >= attempt.deadline { fail("it was not ready within \(Int(Attempt.limit)) s") }
        if let changes = watch.changes(now: now), !changes.isEmpty {
            reload("changed: \(changes.prefix(3).joined(separator: ", "))\(changes.count > 3 ? " and \(changes.count - 3) more" : "")")
        }
        if keys.rotate(now: now) {
            for role in roles where role.role == .smtpd { role.tell(.ticketKeys(keys.keys)) }
        }
        if plan.heartbeat > 0 { advanceHeartbeats(now) }
        advanceRetired(now)
        return nil
    }

    /// Not auth workers, whose library blocks: their logins have bounds of their own. Nor a queue role that finishes what it has.
    private func isAsked(_ role: RoleProcess) -> Bool {
        role.isReady && (role.role == .smtpd || role.role == .queue && !role.isStopping)
    }

    /// Only smtpd is killed: a queue role that waited for a slow disk would leave the next one with it (Docs/design.md, section 11).
    private func advanceHeartbeats(_ now: Double) {
        for role in roles where isAsked(role) {
            switch role.heartbeat.look(at: now, every: Double(plan.heartbeat)) {
            case .ask: role.tell(.ping)
            case .silent: log.warning("\(role.description), process \(role.pid), does not respond")
            case .lost where role.role == .smtpd: drop(role, "does not respond")
            case .lost, nil: break
            }
        }
    }

    var isStopping: Bool { stopping != nil }

    func beginStop() {
        guard stopping == nil else { return }
        if attempt != nil { fail("the server is stopping") }
        nextReload = nil
        for role in roles { role.restartAt = nil }
        stopping = Stop(deadline: monotonicSeconds() + setup.stopLimit, phase: 0)
        manager.stopping()
        // Sessions first: the queue must still be there to take what they are committing.
        for role in roles where role.role == .smtpd { role.tell(.stop) }
    }

    private func advanceStop() -> CInt? {
        guard var stop = stopping else { return nil }
        let now = monotonicSeconds()
        if stop.phase == 0, !roles.contains(where: { $0.role == .smtpd && $0.isRunning }) {
            stop = Stop(deadline: now + setup.stopLimit, phase: 1)
            for role in roles { role.tell(.stop) }
        }
        if now >= stop.deadline, !stop.killed {
            stop.killed = true
            stop.deadline = now + 5
            for role in roles where role.isRunning && (stop.phase == 1 || role.role == .smtpd) {
                drop(role, "did not end in time")
            }
        }
        stopping = stop
        guard !roles.contains(where: \.isRunning) else { return nil }
        requests?.close()
        return startFailure == nil ? 0 : 1
    }
}
