import CLinux
import Glibc
import MailLog
import SMTPCore

/// A new binary in the same process: descriptors, children and process id stay, and a new generation of roles is started from it. Nobody's
/// connection is refused meanwhile, since the sockets are never closed.
extension Supervisor {
    /// First the new program reads the configuration and this supervisor's state, in a process of its own; only when it can is it let in.
    func upgrade() {
        guard attempt == nil else {
            wantsUpgrade = true
            return
        }
        attempt = Attempt(number: generation + 1, reason: "upgrade", deadline: monotonicSeconds() + Attempt.limit, isUpgrade: true)
        let planner = RoleProcess(.plan, generation: generation + 1, standing: .next)
        roles.append(planner)
        guard let state = Self.stateFile(state.text) else { return fail("the state cannot be written: \(errorText(errno))") }
        defer { close(state) }
        do {
            let (own, theirs) = try ControlChannel.pair()
            defer { theirs.close() }
            own.neverWait()
            Self.keepOverExec([state], true)
            let arguments = ["role", "plan", "-c", setup.configurationDirectory, "--state", "\(state)"]
            planner.startedAt = monotonicSeconds()
            planner.pid = try ChildProcess.start(setup.program, arguments, control: theirs.descriptor)
            planner.control = own
        } catch {
            fail("\(error)")
        }
    }

    /// The new program has shown that it can. Returns only if it cannot be started after all.
    func becomeNewProgram() {
        log.info("upgrade: \(setup.program) takes over")
        (log.sink as? LogWriter)?.flush()
        roles.removeAll { $0.role == .plan }
        attempt = nil
        let handedOver = state
        guard let file = Self.stateFile(handedOver.text) else { return refuse("the state cannot be written: \(errorText(errno))") }
        let descriptors =
            [file, lock.descriptor] + listeners.map(\.descriptor) + roles.compactMap(\.control?.descriptor)
            + (requests.map { [$0.listening] + $0.waiting } ?? [])
        Self.keepOverExec(descriptors, true)
        let arguments = [setup.program, "start", "-c", setup.configurationDirectory, "--foreground", "--resume", "\(file)"]
        _ = unsafe withCStrings(arguments) { unsafe execv(setup.program, $0) }
        let reason = errorText(errno)
        Self.keepOverExec(descriptors, false)
        close(file)
        refuse("\(setup.program): \(reason)")
    }

    private func refuse(_ reason: String) {
        log.error("upgrade failed: \(reason)")
        conclude(ReloadResult(at: time(nil), reason: "upgrade", failure: [reason]))
    }

    private var state: SupervisorState {
        var state = SupervisorState()
        state.program = setup.program
        state.queueDirectory = setup.queueDirectory
        state.log = logSetup
        state.generation = generation
        state.plan = plan.items
        state.listeners = listeners.map { one in
            let endpoint = ServerPlan.Endpoint(service: one.service, address: one.address, port: one.port, location: "")
            return SupervisorState.Listener(endpoint: endpoint, descriptor: Int(one.descriptor))
        }
        for role in roles where role.role != .plan {
            guard let control = role.control, role.isRunning else { continue }
            let worker = if case .authentication(_, let worker) = role.role { worker } else { 0 }
            state.roles.append(
                SupervisorState.RoleState(
                    argument: role.role.argument,
                    worker: worker,
                    generation: role.generation,
                    standing: role.standing.rawValue,
                    pid: Int(role.pid),
                    control: Int(control.descriptor),
                    isReady: role.isReady,
                    deaths: role.deaths
                )
            )
        }
        state.keys = keys.keys
        state.lock = Int(lock.descriptor)
        state.requests = requests.map { Int($0.listening) } ?? -1
        state.waiting = requests?.waiting.map(Int.init) ?? []
        return state
    }

    /// A nameless file with the text in it.
    private static func stateFile(_ text: String) -> CInt? {
        let descriptor = postern_memory_file()
        guard descriptor >= 0 else { return nil }
        let bytes = Array(text.utf8)
        guard unsafe bytes.withUnsafeBytes({ unsafe write(descriptor, $0.baseAddress, $0.count) }) == bytes.count else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Reads a state that another process has written; it may be read more than once.
    static func readState(_ descriptor: CInt) -> SupervisorState? {
        var bytes = [UInt8](repeating: 0, count: 8 << 20)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        return count > 0 ? SupervisorState(text: String(decoding: bytes[..<count], as: UTF8.self)) : nil
    }

    private static func keepOverExec(_ descriptors: [CInt], _ keep: Bool) {
        for descriptor in descriptors { _ = fcntl(descriptor, F_SETFD, keep ? 0 : FD_CLOEXEC) }
    }

    /// Goes on where the program before has left off, in the same process. Returns the exit status.
    static func resume(_ state: SupervisorState, configurationDirectory: String) throws -> CInt {
        let writer = try LogWriter(state.log.logDestination, hostName: state.log.hostName)
        let log = MailLog(sink: writer, tag: state.log.tag, processID: Int(getpid()))
        var plan = ServerPlan()
        for item in state.plan { plan.add(item) }
        let listeners = state.listeners.map {
            ListenSocket(service: $0.endpoint.service, address: $0.endpoint.address, port: $0.endpoint.port, adopting: CInt($0.descriptor))
        }
        let supervisor = Supervisor(
            setup: Setup(
                configurationDirectory: configurationDirectory,
                queueDirectory: state.queueDirectory,
                program: state.program,
                loops: ServerPlan.loops
            ),
            plan: plan,
            listeners: listeners,
            generation: state.generation,
            log: log,
            logSetup: state.log,
            signals: try SignalDescriptor(),
            lock: PIDFile(adopting: CInt(state.lock)),
            onReady: nil
        )
        supervisor.adopt(state)
        keepOverExec([CInt(state.lock)] + listeners.map(\.descriptor) + state.roles.map { CInt($0.control) }, false)
        let status = supervisor.serve(afterUpgrade: true)
        log.info("terminating")
        writer.flush()
        return status
    }

    private func adopt(_ state: SupervisorState) {
        keys = TicketKeyRing(keys: state.keys, madeAt: monotonicSeconds())
        if state.requests >= 0 {
            requests = RequestSocket(listening: CInt(state.requests))
            for descriptor in state.waiting { requests?.keep(CInt(descriptor)) }
            Self.keepOverExec([CInt(state.requests)] + state.waiting.map(CInt.init), false)
        } else {
            openRequests()
        }
        for one in state.roles {
            guard var role = Role(argument: one.argument), let standing = RoleProcess.Standing(rawValue: one.standing) else { continue }
            if case .authentication(let profile, _) = role { role = .authentication(profile: profile, worker: one.worker) }
            let process = RoleProcess(role, generation: one.generation, standing: standing)
            process.pid = pid_t(one.pid)
            process.control = ControlChannel(descriptor: CInt(one.control))
            process.isReady = one.isReady
            process.deaths = one.deaths
            process.startedAt = monotonicSeconds()
            process.retiredAt = monotonicSeconds()
            roles.append(process)
        }
        // One that had died and was waiting for its restart.
        if !roles.contains(where: { $0.role == .queue }) {
            let queue = RoleProcess(.queue, generation: 0, standing: .current)
            roles.append(queue)
            start(queue)
        }
        watch.follow(plan.watched)
        queueMustRestart = true
        reload("upgrade to version \(PosternVersion.number)")
    }
}

extension SupervisorState.LogSetup {
    init(_ destination: LogDestination, hostName: String, tag: String) {
        self.hostName = hostName
        self.tag = tag
        self.destination =
            switch destination {
            case .syslog(let facility): "syslog \(facility)"
            case .standardOutput: "stdout"
            case .file(let path): "file \(path)"
            }
    }

    var logDestination: LogDestination {
        let words = destination.split(separator: " ", maxSplits: 1).map(String.init)
        return switch (words.first, words.count) {
        case ("file", 2): .file(words[1])
        case ("syslog", 2): .syslog(facility: Int(words[1]) ?? 2)
        default: .standardOutput
        }
    }
}
