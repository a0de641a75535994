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
        manager.reloading()
        let planner = RoleProcess(.plan, generation: generation + 1, standing: .next)
        roles.append(planner)
        guard let state = Self.stateFile(state.text) else { return fail("the state cannot be written: \(errorText(errno))") }
        defer { close(state) }
        Self.keepOverExec([state], true)
        start(planner, program: setup.program, "--state", "\(state)")
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
            [file, setup.lock.descriptor] + listeners.map(\.descriptor) + roles.compactMap(\.control?.descriptor)
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
        state.log = setup.logSetup
        state.generation = generation
        state.plan = plan
        state.listeners = listeners
        state.roles = roles.filter { $0.role != .plan && $0.isRunning && $0.control != nil }.map(\.saved)
        state.keys = keys.keys
        state.lock = setup.lock.descriptor
        state.requests = requests?.listening ?? -1
        state.waiting = requests?.waiting ?? []
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
        let writer = try LogWriter(LogDestination(file: state.log.file, facility: state.log.facility), hostName: state.log.hostName)
        let setup = Setup(
            configurationDirectory: configurationDirectory,
            queueDirectory: state.queueDirectory,
            program: state.program,
            loops: ServerPlan.loops,
            log: MailLog(sink: writer, tag: state.log.tag, processID: Int(getpid())),
            logSetup: state.log,
            signals: try SignalDescriptor(),
            lock: PIDFile(adopting: state.lock)
        )
        let supervisor = Supervisor(setup, plan: state.plan, listeners: state.listeners, generation: state.generation)
        supervisor.adopt(state)
        defer { writer.flush() }
        return supervisor.serve(afterUpgrade: true)
    }

    private func adopt(_ state: SupervisorState) {
        keys = TicketKeyRing(keys: state.keys, madeAt: monotonicSeconds())
        roles = state.roles.compactMap(RoleProcess.init(saved:))
        if state.requests >= 0 {
            requests = RequestSocket(listening: state.requests)
            for descriptor in state.waiting { requests?.keep(descriptor) }
        } else {
            openRequests()
        }
        let passed = [state.lock, state.requests] + state.waiting + listeners.map(\.descriptor) + roles.compactMap(\.control?.descriptor)
        Self.keepOverExec(passed.filter { $0 >= 0 }, false)
        // One that had died and was waiting for its restart.
        if !roles.contains(where: { $0.role == .queue }) {
            let queue = RoleProcess(.queue, generation: 0, standing: .current)
            roles.append(queue)
            start(queue)
        }
        watch.follow(plan)
        queueMustRestart = true
        reload("upgrade to version \(PosternVersion.number)")
    }
}
