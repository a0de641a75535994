import Glibc
import MailLog

/// What `postern status` shows, taken from what the supervisor knows by itself.
extension Supervisor {
    func openRequests() {
        do { requests = try RequestSocket(queueDirectory: setup.queueDirectory) } catch {
            log.error("\(error): status and reload are not available; SIGHUP reloads")
        }
    }

    func answer(_ request: (SupervisorRequest, CInt)) {
        let (what, descriptor) = request
        switch what {
        case .status: requests?.answer(descriptor, statusText)
        case .statusJSON: requests?.answer(descriptor, statusJSON + "\n")
        case .problems: requests?.answer(descriptor, problems.map { $0 + "\n" }.joined() + "END\n")
        case .reload:
            requests?.keep(descriptor)
            reload("postern reload")
        case .upgrade:
            requests?.keep(descriptor)
            upgrade()
        }
    }

    /// What is wrong with the running server.
    var problems: [String] {
        var lines: [String] = []
        for role in roles where role.isLooping {
            let next = role.restartAt.map { ", next start in \(max(0, Int($0 - monotonicSeconds()))) s" } ?? ""
            lines.append("crash loop: \(role.description) has died \(role.restarts.failuresInARow) times in a row\(next)")
        }
        for role in roles where role.standing == .current && !role.isRunning && !role.isLooping {
            lines.append("\(role.description) is down")
        }
        if let failure = lastReload?.failure { lines += failure.map { "last reload failed: \($0)" } }
        for certificate in plan.certificates where certificate.expires <= time(nil) {
            lines.append("\(certificate.file): the certificate has expired")
        }
        return lines
    }

    private struct GenerationState {
        var number: Int
        var pid: pid_t
        var since: Int
        var sessions: Int
        var state: String
    }

    private var generations: [GenerationState] {
        let now = monotonicSeconds()
        return roles.filter { $0.role == .smtpd }.sorted { $0.generation > $1.generation }.map { role in
            let state =
                role.standing == .current ? (role.isRunning ? (role.isReady ? "serving" : "starting") : "down") : role.standing.rawValue
            return GenerationState(
                number: role.generation,
                pid: role.pid,
                since: time(nil) - Int(now - role.startedAt),
                sessions: role.sessions,
                state: state
            )
        }
    }

    private var statusText: String {
        var lines = ["postern \(PosternVersion.number): running, process \(getpid()), since \(UTCTime.text(startedAt))"]
        for generation in generations {
            lines.append(
                "generation \(generation.number): \(generation.state), process \(generation.pid), since \(UTCTime.text(generation.since)), "
                    + "\(generation.sessions) session\(generation.sessions == 1 ? "" : "s")"
            )
        }
        for role in roles where role.standing == .current && role.role != .smtpd {
            let state = role.isRunning ? (role.isReady ? "running" : "starting") : "down"
            lines.append("\(role.role): \(state), process \(role.pid), restarts \(role.deaths)")
        }
        lines.append("listening: \(listeners.map(\.display).joined(separator: " "))")
        for certificate in plan.certificates {
            lines.append("certificate: \(certificate.file), expires \(UTCTime.text(certificate.expires))")
        }
        for file in watch.files { lines.append("watched: \(file)") }
        if let last = lastReload {
            lines.append("last reload: \(UTCTime.text(last.at)), \(last.reason): \(last.failure == nil ? "ok" : "failed")")
        }
        return (lines + problems.map { "problem: \($0)" }).joined(separator: "\n") + "\n"
    }

    private var statusJSON: String {
        let roleObjects = roles.filter { $0.role != .plan }.map { role in
            JSON.object([
                ("role", .text("\(role.role)")), ("generation", .number(role.generation)), ("standing", .text(role.standing.rawValue)),
                ("pid", .number(Int(role.pid))), ("ready", .raw(role.isReady ? "true" : "false")), ("restarts", .number(role.deaths)),
            ])
        }
        let reloaded = lastReload.map { last in
            JSON.object([
                ("at", .number(last.at)), ("reason", .text(last.reason)), ("ok", .raw(last.failure == nil ? "true" : "false")),
                ("failure", JSON.array((last.failure ?? []).map(JSON.text))),
            ])
        }
        return JSON.object([
            ("version", .text(PosternVersion.number)), ("pid", .number(Int(getpid()))), ("since", .number(startedAt)),
            ("generation", .number(generation)),
            (
                "generations",
                JSON.array(
                    generations.map { one in
                        JSON.object([
                            ("number", .number(one.number)), ("pid", .number(Int(one.pid))), ("since", .number(one.since)),
                            ("sessions", .number(one.sessions)), ("state", .text(one.state)),
                        ])
                    }
                )
            ),
            ("sessions", .number(generations.reduce(0) { $0 + $1.sessions })), ("roles", JSON.array(roleObjects)),
            ("listening", JSON.array(listeners.map { .text($0.display) })),
            (
                "certificates",
                JSON.array(plan.certificates.map { JSON.object([("file", .text($0.file)), ("expires", .number($0.expires))]) })
            ),
            ("watched", JSON.array(watch.files.map(JSON.text))), ("last_reload", reloaded ?? .raw("null")),
            ("problems", JSON.array(problems.map(JSON.text))),
        ]).description
    }
}
