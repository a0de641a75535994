import Glibc

/// Looks at what smtpd.conf names (saslauthd's socket, sasldb) and says what is wrong with it and how to mend it.
package enum SASLBackEndProbe {
    package struct Problem: Sendable, Hashable {
        /// For the log: `cannot connect to saslauthd server at PATH: No such file or directory`.
        package var log: String
        /// For the administrator: what to do.
        package var advice: String
    }

    /// All that is wrong as far as this process, with its user and groups, can see.
    package static func problems(_ profile: CyrusProfile) -> [Problem] {
        let file = profile.configurationFile() ?? SASLConfigurationFile(path: "", text: "")
        var problems: [Problem] = []
        if file.usesSaslauthd, let problem = saslauthd(file, chroot: profile.chrootDirectory) { problems.append(problem) }
        if file.passwordMethods.contains("auxprop"), file.usesSasldb, let problem = sasldb(file, chroot: profile.chrootDirectory) {
            problems.append(problem)
        }
        return problems
    }

    /// The problem when every account would have to be in a sasldb that does not exist.
    static func missingOnlySasldb(_ profile: CyrusProfile) -> Problem? {
        let file = profile.configurationFile() ?? SASLConfigurationFile(path: "", text: "")
        guard file.passwordMethods == ["auxprop"], file.auxiliaryPlugins == ["sasldb"] || file.auxiliaryPlugins.isEmpty else { return nil }
        let paths = candidates(file.sasldbPath, chroot: profile.chrootDirectory)
        guard paths.allSatisfy({ unsafe access($0, F_OK) != 0 && errno == ENOENT }) else { return nil }
        return sasldb(file, chroot: profile.chrootDirectory)
    }

    /// The path below the chroot, then the path itself.
    static func candidates(_ path: String, chroot: String?) -> [String] { (chroot.map { [$0 + path] } ?? []) + [path] }

    private static func saslauthd(_ file: SASLConfigurationFile, chroot: String?) -> Problem? {
        let named = file.saslauthdPath
        let socketPath = named.hasSuffix("/mux") || isSocket(named) ? named : named + "/mux"
        var firstError: (path: String, number: CInt)?
        for path in candidates(socketPath, chroot: chroot) {
            let number = connectError(path)
            if number == 0 { return nil }
            if firstError == nil || firstError?.number == ENOENT { firstError = (path, number) }
        }
        guard let (path, number) = firstError else { return nil }
        let directory = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let advice =
            switch number {
            case ENOENT:
                "saslauthd does not listen at \(path): start it (with -m \(directory)), or set saslauthd_path in smtpd.conf to where it listens"
            case ECONNREFUSED: "the socket \(path) is there, but nobody listens: start saslauthd (with -m \(directory))"
            case EACCES:
                "user \(currentUserName()) may not enter \(directory): add it to the group that owns the directory (Debian: adduser \(currentUserName()) sasl), then restart"
            default: "check \(path)"
            }
        return Problem(log: "cannot connect to saslauthd server at \(path): \(systemErrorText(number))", advice: advice)
    }

    private static func sasldb(_ file: SASLConfigurationFile, chroot: String?) -> Problem? {
        var first: (path: String, number: CInt)?
        for path in candidates(file.sasldbPath, chroot: chroot) {
            if unsafe access(path, R_OK) == 0 { return nil }
            let number = errno
            if first == nil || first?.number == ENOENT { first = (path, number) }
        }
        guard let (path, number) = first else { return nil }
        let advice =
            switch number {
            case ENOENT: "create the first account with: postern user add NAME"
            case EACCES: "user \(currentUserName()) may not read \(path): give the file to one of its groups (chgrp) with mode 0640"
            default: "check \(path)"
            }
        return Problem(log: "unable to open sasldb \(path): \(systemErrorText(number))", advice: advice)
    }

    private static func isSocket(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    /// 0 when a connection can be made.
    private static func connectError(_ path: String) -> CInt {
        // Without waiting: a full backlog is saslauthd's business, and EAGAIN means that it is there.
        let (descriptor, number) = connectUnixSocket(path, flags: CInt(SOCK_NONBLOCK.rawValue))
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        return number == EAGAIN ? 0 : number
    }
}

/// The account this process runs as, for messages.
func currentUserName() -> String {
    guard let entry = unsafe getpwuid(geteuid()), let name = unsafe entry.pointee.pw_name else { return "uid \(geteuid())" }
    return unsafe String(cString: name)
}
