import CLinux
import Glibc

/// What a role gives up for good before it reads a byte from outside: root, most of the file system, and system calls it has no use for.
struct Confinement: Sendable {
    /// Files that the role has not opened yet.
    enum Reach: Sendable, Hashable {
        /// None at all.
        case nothing
        /// What the system's libraries load late, and the directories given, to read and write.
        case only(writable: [String])
        /// Everything that the user may, but what is below these directories.
        case allBut([String])
    }

    let account: Account
    /// Directory that becomes the root; needs root.
    var chroot: String?
    let reach: Reach
    /// Whether the role may start programs, as plug-ins of libsasl2 do.
    var mayStartPrograms = false
    /// Files whose groups the role must not be in (sasldb, keys, /etc/shadow), where no Landlock keeps it from them.
    var secrets: [String] = []

    /// Puts all of it into force, and says what is in force. Call while the process has one thread: Landlock binds the calling thread and
    /// those it starts.
    func apply() throws(SystemError) -> Report {
        let threads = postern_thread_count()
        guard threads <= 1 else { throw SystemError("dropping privileges with \(threads) threads alive", code: EDEADLK) }
        try check(postern_fix_time_zone(), "time zone")
        var abi: CInt = 0
        // Opens paths, so while root; the chroot does not change what the rules mean.
        let rules = try prepareRules(&abi)
        // With no file in reach a chroot adds nothing: a unit without CAP_SYS_CHROOT may go without it.
        let mayStayOutside = rules >= 0 && reach == .nothing
        let isInside =
            Account.isRoot ? try account.assume(chroot: chroot, mayStayOutside: mayStayOutside, secrets: secrets) : false
        try check(postern_harden_process(), "prctl")
        if rules >= 0 { try check(postern_landlock_enforce(rules), "landlock_restrict_self") }
        let filter = postern_filter_system_calls(mayStartPrograms ? 0 : 1)
        return Report(
            account: account,
            chroot: isInside ? chroot : nil,
            landlock: rules >= 0 ? Int(abi) : 0,
            filterError: filter
        )
    }

    /// What is in force, for the log.
    struct Report: Sendable, Hashable, CustomStringConvertible {
        let account: Account
        let chroot: String?
        /// 0 when the kernel has none.
        let landlock: Int
        /// 0 when the filter is in force.
        let filterError: CInt

        var description: String {
            let root = chroot.map { ", chroot \($0)" } ?? ""
            let files = landlock > 0 ? ", Landlock \(landlock)" : ", no Landlock"
            return "runs as \(account.name)\(root)\(files)\(filterError == 0 ? ", system call filter" : ", no system call filter")"
        }

        /// What this kernel cannot keep from an attacker who owns the role.
        var gaps: [String] {
            var gaps: [String] = []
            if landlock == 0 {
                gaps.append("this kernel has no Landlock: the role can read what user \(account.name) can read")
            }
            if filterError != 0 { gaps.append("no system call filter: \(errorText(filterError))") }
            return gaps
        }
    }

    /// A descriptor of the rule set; negative without Landlock.
    private func prepareRules(_ abi: inout CInt) throws(SystemError) -> CInt {
        let (readable, writable) = paths
        let descriptor = unsafe withCStrings(readable) { readable in
            unsafe withCStrings(writable) { writable in
                var wanted = unsafe postern_landlock()
                unsafe wanted.readable = unsafe UnsafePointer(OpaquePointer(readable))
                unsafe wanted.writable = unsafe UnsafePointer(OpaquePointer(writable))
                unsafe wanted.no_ports = reach == .nothing ? 1 : 0
                unsafe wanted.isolated = mayStartPrograms ? 0 : 1
                return unsafe postern_landlock_prepare(&wanted, &abi)
            }
        }
        if descriptor < 0, errno != ENOSYS, errno != EOPNOTSUPP, errno != EPERM { throw SystemError("landlock_create_ruleset") }
        return descriptor
    }

    private var paths: (readable: [String], writable: [String]) {
        switch reach {
        case .nothing: ([], [])
        case .only(let writable): (Self.libraries, writable)
        case .allBut(let hidden): ([], PathSiblings.all(but: hidden.map(Self.resolved)))
        }
    }

    /// Plug-ins of libsasl2 and OpenSSL, and what the C library loads when it first needs it.
    private static let libraries = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki", "/dev/null", "/dev/urandom"]

    private static func resolved(_ path: String) -> String {
        guard let real = unsafe realpath(path, nil) else { return path }
        defer { unsafe free(real) }
        return unsafe String(cString: real)
    }

    private func check(_ code: CInt, _ what: String) throws(SystemError) {
        if code != 0 { throw SystemError(what, code: code) }
    }
}

/// The smallest list of directories and files that holds everything but some directories: Landlock allows, and cannot except.
enum PathSiblings {
    /// - Parameter hidden: absolute paths without links.
    /// - Parameter entries: the names in a directory; empty for one that cannot be read.
    static func all(but hidden: [String], entries: (String) -> [String] = DirectoryEntries.of) -> [String] {
        var out: [String] = []
        collect("", hidden.map { $0.split(separator: "/").map(String.init) }, entries, &out)
        return out
    }

    private static func collect(_ directory: String, _ hidden: [[String]], _ entries: (String) -> [String], _ out: inout [String]) {
        for name in entries(directory.isEmpty ? "/" : directory) {
            let below = hidden.filter { $0.first == name }.map { Array($0.dropFirst()) }
            if below.isEmpty {
                out.append("\(directory)/\(name)")
            } else if !below.contains([]) {
                collect("\(directory)/\(name)", below, entries, &out)
            }
        }
    }
}
