import Glibc

/// Which other server lives on a queue directory.
enum QueueOwnership {
    /// Another server, in words an administrator can act on; nil when there is none. A server of the same configuration counts only for
    /// `starting`: `check` may look at a configuration that is being served.
    static func conflict(queueDirectory: String, configurationDirectory: String, starting: Bool) -> String? {
        if let server = PIDFile.running(queueDirectory: queueDirectory) {
            let theirs = server.configurationDirectory
            if theirs == configurationDirectory || theirs == nil {
                return starting
                    ? "already running: process \(server.pid) serves this configuration (postern status, postern stop -c \(configurationDirectory))"
                    : nil
            }
            return
                "queue_directory \(queueDirectory) is served by process \(server.pid) with the configuration \(theirs ?? ""): stop that server (postern stop -c \(theirs ?? "")), or give this configuration a queue_directory of its own"
        }
        if let pid = livingPostfix(queueDirectory) {
            return
                "queue_directory \(queueDirectory) belongs to a running Postfix, process \(pid) (\(ProcessTable.name(pid))): stop it first (postfix stop, or systemctl stop postfix)"
        }
        return nil
    }

    /// Postfix's master(8) keeps a lock on pid/master.pid as long as it lives.
    private static func livingPostfix(_ queueDirectory: String) -> pid_t? {
        let path = "\(queueDirectory)/pid/master.pid"
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        let text = (ProcessTable.text(path) ?? "").split(whereSeparator: { " \n".contains($0) }).first
        if flock(descriptor, LOCK_SH | LOCK_NB) != 0 { return text.flatMap { pid_t($0) } ?? 0 }
        // Some builds lock by fcntl.
        var lock = Glibc.flock()
        lock.l_type = Int16(F_RDLCK)
        guard unsafe fcntl(descriptor, F_GETLK, &lock) == 0, lock.l_type != Int16(F_UNLCK) else { return nil }
        return lock.l_pid
    }
}
