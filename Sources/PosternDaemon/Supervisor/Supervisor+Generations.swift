import Glibc
import MailLog

/// A generation that is being prepared beside the one that serves.
struct Attempt {
    /// Seconds from the request until it must serve.
    static let limit = 60.0

    let number: Int
    let reason: String
    let deadline: Double
    /// The plan was made by a new program, which is to take our place.
    var isUpgrade = false
    var plan = ServerPlan()
    /// Set when the plan is whole and passed.
    var isLaunched = false
    /// The generation serves; the queue role has still to come back with its configuration.
    var isServing = false
    var listeners: [ListenSocket] = []
    /// Those among `listeners` that the generation before does not have.
    var bound: [ListenSocket] = []
}

/// What became of the last reload.
struct ReloadResult: Sendable, Hashable {
    /// Seconds since 1970.
    var at: Int
    var reason: String
    /// nil when the new generation serves; else lines of `file:line: message`.
    var failure: [String]?
}

/// Reload, changed certificates and tables: a new generation of the smtpd role and its workers on the same sockets. Until it is ready, and if
/// it never is, the one before goes on as if nothing had happened.
extension Supervisor {
    /// Retired generations that serve last sessions at the same time; the oldest is hurried when there are more.
    private static let retiredLimit = 6
    /// Seconds after which a session that will not end loses its generation.
    private static let retiredLifetime = 6 * 3600.0

    func reload(_ reason: String) {
        guard !isStopping else { return }
        guard attempt == nil else {
            nextReload = reason
            return
        }
        manager.reloading()
        watch.accept()
        attempt = Attempt(number: generation + 1, reason: reason, deadline: monotonicSeconds() + Attempt.limit)
        let planner = RoleProcess(.plan, generation: generation + 1, standing: .next)
        roles.append(planner)
        start(planner)
    }

    func took(_ record: [String]) {
        guard attempt?.isLaunched == false else { return }
        guard attempt?.plan.take(record) == true else { return fail("the plan role sent an unexpected record") }
        guard record[0] == "end", let plan = attempt?.plan else { return }
        // Its end is no failure any more.
        for planner in roles where planner.role == .plan { planner.standing = .retired }
        guard record[1] == "pass" else {
            return fail(plan.findings.isEmpty ? ["the configuration does not pass"] : plan.findings)
        }
        guard plan.queueDirectory == setup.queueDirectory else {
            return fail("queue_directory has changed: this takes a stop and a start")
        }
        attempt?.isLaunched = true
        if attempt?.isUpgrade == true { becomeNewProgram() } else { launch(plan) }
    }

    private func launch(_ plan: ServerPlan) {
        var failures: [String] = []
        for endpoint in plan.endpoints {
            if var known = listeners.first(where: { $0.address == endpoint.address && $0.port == endpoint.port }) {
                known.service = endpoint.service
                attempt?.listeners.append(known)
                continue
            }
            do {
                let new = try ListenSocket(service: endpoint.service, address: endpoint.address, port: endpoint.port)
                attempt?.listeners.append(new)
                attempt?.bound.append(new)
            } catch {
                failures.append("\(endpoint.location): \(error)")
            }
        }
        guard failures.isEmpty else { return fail(failures) }
        // Before the roles read them: what changes from here on is another change.
        watch.follow(plan)
        let made = makeRoles(of: plan, generation: generation + 1, standing: .next)
        roles += made
        for role in made where attempt != nil { start(role) }
    }

    func commitIfReady() {
        guard let attempt, attempt.isLaunched, !attempt.isServing else { return }
        let made = roles.filter { $0.standing == .next && $0.role != .plan }
        guard !made.isEmpty, made.allSatisfy(\.isReady), let smtpd = made.first(where: { $0.role == .smtpd }) else { return }
        self.attempt?.isServing = true
        let vanished = listeners.filter { old in !attempt.listeners.contains { $0.descriptor == old.descriptor } }
        smtpd.tell(.start)
        for old in roles where old.standing == .current && old.role != .queue { retire(old, handingOverTo: smtpd, vanished) }
        for role in made { role.standing = .current }
        for listener in vanished { close(listener.descriptor) }
        listeners = attempt.listeners
        generation = attempt.number
        let queueChanged = attempt.plan.queueFingerprint != plan.queueFingerprint || queueMustRestart
        plan = attempt.plan
        if queueChanged { restartQueue() } else { settle() }
    }

    /// The queue role, too, has read what this reload is about: from now on a change of the files is another reload's.
    func settle() {
        guard let attempt, attempt.isServing else { return }
        self.attempt = nil
        log.info(
            "reload -- version \(PosternVersion.number), configuration \(setup.configurationDirectory), generation \(generation) (\(attempt.reason))"
        )
        conclude(ReloadResult(at: time(nil), reason: attempt.reason, failure: nil))
    }

    private func retire(_ role: RoleProcess, handingOverTo smtpd: RoleProcess, _ vanished: [ListenSocket]) {
        role.standing = .retired
        role.restartAt = nil
        role.retiredAt = monotonicSeconds()
        guard role.isRunning else {
            roles.removeAll { $0 === role }
            return
        }
        guard role.role == .smtpd else { return }
        for listener in vanished { role.tell(.unlisten(address: listener.display)) }
        guard let (from, to) = try? socketPair(CInt(SOCK_SEQPACKET.rawValue)) else {
            role.tell(.retire)
            return log.error("socketpair: \(errorText(errno)): client counters start anew")
        }
        role.tell(.retire, passing: from)
        smtpd.tell(.counters, passing: to)
        close(from)
        close(to)
    }

    func fail(_ reason: String) { fail([reason]) }

    /// The generation that serves goes on; what was made of the next one is taken back. It has not accepted anything yet.
    func fail(_ reasons: [String]) {
        guard let attempt else { return }
        self.attempt = nil
        if attempt.isServing {
            for reason in reasons { log.error("reload (\(attempt.reason)): generation \(generation) serves, but \(reason)") }
            return conclude(ReloadResult(at: time(nil), reason: attempt.reason, failure: reasons))
        }
        for role in roles where role.standing == .next {
            // What it does until it is reaped concerns no later attempt.
            role.standing = .retired
            role.isStopping = true
            role.kill()
        }
        roles.removeAll { $0.standing == .retired && !$0.isRunning }
        for listener in attempt.bound { close(listener.descriptor) }
        for reason in reasons.prefix(20) { log.error("reload (\(attempt.reason)): \(reason)") }
        log.error("reload (\(attempt.reason)) failed: generation \(generation) goes on")
        watch.follow(plan, attempt.plan)
        conclude(ReloadResult(at: time(nil), reason: attempt.reason, failure: Array(reasons.prefix(20))))
    }

    func conclude(_ result: ReloadResult) {
        queueMustRestart = false
        lastReload = result
        manager.ready(result.failure == nil ? "generation \(generation)" : "reload failed, generation \(generation) goes on")
        // Who asked while another was under way waits for his own.
        if nextReload == nil, !wantsUpgrade { requests?.tellReloaded(result) }
        if wantsUpgrade {
            wantsUpgrade = false
            return upgrade()
        }
        guard let reason = nextReload else { return }
        nextReload = nil
        reload(reason)
    }

    /// It finishes what it has, and is started again with the configuration as it is now; sessions that commit wait for it.
    private func restartQueue() {
        guard let queue = roles.first(where: { $0.role == .queue }) else { return }
        queue.deaths = 0
        // It may have died of the configuration that has just been mended.
        guard queue.isRunning else { return start(queue) }
        queue.isStopping = true
        queue.retiredAt = monotonicSeconds()
        queue.tell(.stop)
    }

    func advanceRetired(_ now: Double) {
        let retired = roles.filter { $0.standing == .retired && $0.role == .smtpd && $0.retiredAt > 0 }.sorted {
            $0.generation < $1.generation
        }
        for role in retired.dropLast(min(retired.count, Self.retiredLimit)) where !role.isStopping {
            role.isStopping = true
            role.tell(.stop)
        }
        for role in retired where now - role.retiredAt > Self.retiredLifetime {
            drop(role, "has sessions that do not end")
        }
        let alive = Set(retired.map(\.generation))
        for worker in roles where worker.standing == .retired && worker.role.isWorker && !alive.contains(worker.generation) {
            if !worker.isStopping {
                worker.isStopping = true
                worker.retiredAt = now
                worker.tell(.stop)
            } else if now - worker.retiredAt > setup.stopLimit {
                worker.kill()
            }
        }
        for queue in roles where queue.role == .queue && queue.isStopping && now - queue.retiredAt > 2 * setup.stopLimit {
            drop(queue, "did not end in time")
        }
    }
}
