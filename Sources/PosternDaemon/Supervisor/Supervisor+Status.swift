import Glibc
import MailLog

/// What the supervisor tells the administrator: what it knows by itself, as records. The client makes text of them (``StatusReport``).
extension Supervisor {
    func openRequests() {
        do { requests = try RequestSocket(queueDirectory: setup.queueDirectory) } catch {
            log.error("\(error): status and reload are not available; SIGHUP reloads")
        }
    }

    func answer(_ request: (SupervisorRequest, CInt)) {
        switch request.0 {
        case .status: requests?.answer(request.1, Records.text(of: status))
        case .reload:
            requests?.keep(request.1)
            reload("postern reload")
        case .upgrade:
            requests?.keep(request.1)
            upgrade()
        }
    }

    private var problems: [String] {
        var lines: [String] = []
        let now = monotonicSeconds()
        for role in roles where role.isLooping(at: now) {
            let next = role.restartAt.map { ", next start in \(max(0, Int($0 - now))) s" } ?? ""
            lines.append("crash loop: \(role.description) has died \(role.restarts.failuresInARow) times in a row\(next)")
        }
        for role in roles where role.standing == .current && !role.isRunning && !role.isLooping(at: now) {
            lines.append("\(role.description) is down")
        }
        for role in roles where role.isRunning {
            if role.heartbeat.isSilent { lines.append("\(role.description), process \(role.pid), does not respond") }
            let wait = Int(now - role.startedAt)
            if !role.isReady, role.standing == .current, wait >= 30 { lines.append("\(role.description) has been starting for \(wait) s") }
        }
        if let failure = lastReload?.failure { lines += failure.map { "last reload failed: \($0)" } }
        for certificate in plan.certificates where certificate.expires <= time(nil) {
            lines.append("\(certificate.file): the certificate has expired")
        }
        return lines
    }

    private var status: [[String]] {
        let (now, clock) = (monotonicSeconds(), time(nil))
        var records = [["server", PosternVersion.number, "\(getpid())", "\(startedAt)", "\(generation)"]]
        for role in roles where role.role != .plan {
            let since = clock - Int(now - role.startedAt)
            records.append(
                ["role", "\(role.role)", "\(role.generation)", role.standing.rawValue, "\(role.pid)", role.isReady ? "1" : "0"]
                    + ["\(role.deaths)", "\(since)", "\(role.sessions)", role.confinement]
                    + [role.heartbeat.isSilent ? "1" : "0"]
            )
        }
        records += listeners.map { ["listening", $0.display] }
        records += plan.certificates.map { ["certificate", "\($0.expires)", $0.file] }
        records += watch.files.map { ["watched", $0] }
        if let last = lastReload {
            records.append(["reload", "\(last.at)", last.reason, last.failure == nil ? "1" : "0"])
            records += (last.failure ?? []).map { ["failure", $0] }
        }
        return records + problems.map { ["problem", $0] }
    }
}
