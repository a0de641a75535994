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

    package static func status(configurationDirectory: String) -> CInt {
        guard let (_, pid) = find(configurationDirectory) else { return 1 }
        print("postern: running, process \(pid)")
        return QueueAccess.run(.status, configurationDirectory: configurationDirectory)
    }

    private static func find(_ configurationDirectory: String) -> (queueDirectory: String, pid: pid_t)? {
        guard let configuration = Configuration.load(directory: configurationDirectory).0 else {
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
