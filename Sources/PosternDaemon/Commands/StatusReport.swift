/// What `postern status` shows of a running server: the supervisor's records, and the queue's figures.
struct StatusReport {
    struct RoleLine {
        var name: String
        var generation: Int
        var standing: String
        var pid: Int
        var isReady: Bool
        var restarts: Int
        var since: Int
        var sessions: Int
        var confinement: String
        /// False for one whose loops do not answer the supervisor.
        var isResponding: Bool

        var state: String {
            if standing != "current" { return standing }
            if pid == 0 { return "down" }
            if !isReady { return "starting" }
            return !isResponding ? "not responding" : name == "smtpd" ? "serving" : "running"
        }
    }

    struct Reload {
        var at: Int
        var reason: String
        var isGood: Bool
        var failure: [String] = []
    }

    private(set) var version = ""
    private(set) var pid = 0
    private(set) var since = 0
    private(set) var generation = 0
    private(set) var roles: [RoleLine] = []
    private(set) var listening: [String] = []
    private(set) var certificates: [(file: String, expires: Int)] = []
    private(set) var watched: [String] = []
    private(set) var lastReload: Reload?
    private(set) var problems: [String] = []
    /// Names and values, as the queue role gives them; nil when it does not answer.
    private var queue: [(name: String, value: String)]?

    /// nil for an answer that is not whole.
    /// - Parameter queue: lines of `name: value` from the queue role.
    init?(_ answer: String, queue: String?) {
        guard let records = Records.parse(answer) else { return nil }
        for fields in records { take(fields) }
        self.queue = queue?.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            return parts.count == 2 ? (String(parts[0]), String(parts[1].drop { $0 == " " })) : nil
        }
        guard let figures = self.queue else {
            problems.append("the queue does not answer")
            return
        }
        for (name, value) in figures {
            switch (name, value) {
            case ("damage", _): problems.append("queue damage: \(value)")
            case ("accepting", "no"): problems.append("the queue accepts no new mail")
            default: break
            }
        }
    }

    private mutating func take(_ fields: [String]) {
        switch (fields[0], fields.count) {
        case ("server", 5...):
            version = fields[1]
            (pid, since, generation) = (Int(fields[2]) ?? 0, Int(fields[3]) ?? 0, Int(fields[4]) ?? 0)
        case ("role", 10...):
            let numbers = [2, 4, 6, 7, 8].map { Int(fields[$0]) ?? 0 }
            roles.append(
                RoleLine(
                    name: fields[1],
                    generation: numbers[0],
                    standing: fields[3],
                    pid: numbers[1],
                    isReady: fields[5] == "1",
                    restarts: numbers[2],
                    since: numbers[3],
                    sessions: numbers[4],
                    confinement: fields[9],
                    isResponding: fields.count < 11 || fields[10] != "1"
                )
            )
        case ("listening", 2...): listening.append(fields[1])
        case ("certificate", 3...): certificates.append((fields[2], Int(fields[1]) ?? 0))
        case ("watched", 2...): watched.append(fields[1])
        case ("reload", 4...): lastReload = Reload(at: Int(fields[1]) ?? 0, reason: fields[2], isGood: fields[3] == "1")
        case ("failure", 2...): lastReload?.failure.append(fields[1])
        case ("problem", 2...): problems.append(fields[1])
        // A newer server may say more.
        default: break
        }
    }

    /// The smtpd roles, newest first.
    private var generations: [RoleLine] { roles.filter { $0.name == "smtpd" }.sorted { $0.generation > $1.generation } }

    var text: String {
        var lines = ["postern \(version): running, process \(pid), since \(UTCTime.text(since))"]
        for one in generations {
            lines.append(
                "generation \(one.generation): \(one.state), process \(one.pid), since \(UTCTime.text(one.since)), "
                    + "\(one.sessions) session\(one.sessions == 1 ? "" : "s"), restarts \(one.restarts)"
            )
            if !one.confinement.isEmpty { lines.append("generation \(one.generation): \(one.confinement)") }
        }
        for one in roles where one.name != "smtpd" && one.standing == "current" {
            lines.append("\(one.name): \(one.state), process \(one.pid), restarts \(one.restarts)")
            if !one.confinement.isEmpty { lines.append("\(one.name): \(one.confinement)") }
        }
        lines.append("listening: \(listening.joined(separator: " "))")
        lines += certificates.map { "certificate: \($0.file), expires \(UTCTime.text($0.expires))" }
        lines += watched.map { "watched: \($0)" }
        if let last = lastReload { lines.append("last reload: \(UTCTime.text(last.at)), \(last.reason): \(last.isGood ? "ok" : "failed")") }
        lines += problems.map { "problem: \($0)" }
        lines += queue?.map { "queue \($0.name): \($0.value)" } ?? ["queue answers: no"]
        return lines.joined(separator: "\n") + "\n"
    }

    var json: JSON {
        let roleObjects = roles.map { one in
            JSON.object([
                ("role", .text(one.name)), ("generation", .number(one.generation)), ("standing", .text(one.standing)),
                ("state", .text(one.state)), ("pid", .number(one.pid)), ("ready", .raw(one.isReady ? "true" : "false")),
                ("restarts", .number(one.restarts)), ("since", .number(one.since)), ("confinement", .text(one.confinement)),
                ("responding", .raw(one.isResponding ? "true" : "false")),
            ])
        }
        let generationObjects = generations.map { one in
            JSON.object([
                ("number", .number(one.generation)), ("pid", .number(one.pid)), ("since", .number(one.since)),
                ("sessions", .number(one.sessions)), ("state", .text(one.state)),
            ])
        }
        let reload = lastReload.map { last in
            JSON.object([
                ("at", .number(last.at)), ("reason", .text(last.reason)), ("ok", .raw(last.isGood ? "true" : "false")),
                ("failure", .array(last.failure.map(JSON.text))),
            ])
        }
        return JSON.object([
            ("version", .text(version)), ("pid", .number(pid)), ("since", .number(since)), ("generation", .number(generation)),
            ("generations", .array(generationObjects)), ("sessions", .number(generations.reduce(0) { $0 + $1.sessions })),
            ("roles", .array(roleObjects)), ("listening", .array(listening.map(JSON.text))),
            (
                "certificates",
                .array(certificates.map { JSON.object([("file", .text($0.file)), ("expires", .number($0.expires))]) })
            ),
            ("watched", .array(watched.map(JSON.text))), ("last_reload", reload ?? .raw("null")),
            ("problems", .array(problems.map(JSON.text))), ("queue", queueObject),
        ])
    }

    private var queueObject: JSON {
        guard let queue else { return .raw("null") }
        let damages = queue.filter { $0.name == "damage" }.map { JSON.text($0.value) }
        let figures = queue.filter { $0.name != "damage" }.map { name, value in
            (name.replacing(" ", with: "_"), Int(value).map(JSON.number) ?? JSON.text(value))
        }
        return .object(figures + [("damages", .array(damages))])
    }
}
