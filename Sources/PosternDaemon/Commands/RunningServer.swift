import CLinux
import Glibc
import Settings

/// What the commands do to a server that another process runs.
package enum RunningServer {
    /// Seconds `stop` waits: sessions and roles have their own, shorter bounds.
    private static let stopLimit = 45.0

    package static func stop(configurationDirectory: String) -> CInt {
        guard let (queueDirectory, pid) = find(configurationDirectory) else { return 1 }
        kill(pid, SIGTERM)
        let deadline = monotonicSeconds() + stopLimit
        while monotonicSeconds() < deadline {
            if PIDFile.runningProcess(queueDirectory: queueDirectory) == nil { return 0 }
            usleep(20_000)
        }
        ServerStart.report("postern: process \(pid) has not ended within \(Int(stopLimit)) s")
        return 1
    }

    package static func reopenLog(configurationDirectory: String) -> CInt {
        guard let (_, pid) = find(configurationDirectory) else { return 1 }
        kill(pid, SIGUSR1)
        return 0
    }

    /// Exit status 0 when a new generation serves; else the reasons are on standard error, and the old one goes on.
    package static func reload(configurationDirectory: String) -> CInt { change(.reload, configurationDirectory) }

    /// The same, with the program that now is in the place of the one that runs.
    package static func upgrade(configurationDirectory: String) -> CInt { change(.upgrade, configurationDirectory) }

    private static func change(_ request: SupervisorRequest, _ configurationDirectory: String) -> CInt {
        guard let (queueDirectory, pid) = find(configurationDirectory) else { return 1 }
        guard let answer = ask(request, queueDirectory, pid, seconds: 150) else { return 1 }
        let lines = answer.split(separator: "\n").map(String.init)
        if lines.first == "OK" { return 0 }
        for line in lines.dropFirst() { ServerStart.report(line) }
        ServerStart.report("postern: \(request.rawValue) failed; the server goes on as it was")
        return 1
    }

    /// - Parameter json: one object, with the queue's figures under `queue`.
    package static func status(configurationDirectory: String, json: Bool = false) -> CInt {
        guard let report = report(configurationDirectory) else { return 1 }
        print(json ? report.json.description + "\n" : report.text, terminator: "")
        return 0
    }

    /// Prints what is wrong with the running server; 0 when nothing is.
    package static func checkLive(configurationDirectory: String) -> CInt {
        guard let report = report(configurationDirectory) else { return 1 }
        for problem in report.problems { print(problem) }
        return report.problems.isEmpty ? 0 : 1
    }

    private static func report(_ configurationDirectory: String) -> StatusReport? {
        guard let (queueDirectory, pid) = find(configurationDirectory) else { return nil }
        guard let answer = ask(.status, queueDirectory, pid, seconds: 10) else { return nil }
        let report = StatusReport(answer, queue: QueueAccess.status(queueDirectory: queueDirectory))
        if report == nil { ServerStart.report("postern: the answer of process \(pid) is not whole") }
        return report
    }

    private static func ask(_ request: SupervisorRequest, _ queueDirectory: String, _ pid: pid_t, seconds: Int) -> String? {
        do {
            let connection = try UnixSocket.connect(to: RequestSocket.path(queueDirectory: queueDirectory), seconds: seconds)
            defer { close(connection) }
            // The directory may belong to the mail owner: whoever answers there must be the server itself.
            var user: uid_t = 0
            var process: pid_t = 0
            guard unsafe postern_peer_uid(connection, &user, &process) == 0, user == 0 || user == geteuid() else {
                ServerStart.report("postern: the socket in \(queueDirectory)/pid is not the server's")
                return nil
            }
            guard UnixSocket.write(request.rawValue + "\n", to: connection) else { return nil }
            let answer = UnixSocket.readAll(from: connection)
            if answer.isEmpty { ServerStart.report("postern: process \(pid) does not answer") }
            return answer.isEmpty ? nil : answer
        } catch {
            ServerStart.report("postern: \(error)")
            return nil
        }
    }

    /// Works with a broken configuration, too: the server that runs has a better one.
    private static func find(_ configurationDirectory: String) -> (queueDirectory: String, pid: pid_t)? {
        guard let configuration = Configuration.examine(directory: configurationDirectory).0 else {
            ServerStart.report("postern: \(configurationDirectory): the configuration cannot be read")
            return nil
        }
        let queueDirectory = configuration.main.text("queue_directory")
        guard let pid = PIDFile.runningProcess(queueDirectory: queueDirectory) else {
            ServerStart.report("postern: not running (queue directory \(queueDirectory))")
            return nil
        }
        return (queueDirectory, pid)
    }
}
