import Glibc

/// Directories that must exist before the roles start, with the owner that uses them.
enum Directories {
    /// What is wrong with that which the server keeps below `queue_directory`.
    struct Finding {
        /// Dangerous: nothing starts before an administrator has looked.
        var refusals: [String] = []
        /// What was mended, or would be.
        var mended: [String] = []
    }

    /// Makes what is missing and mends what is harmless; throws when something is dangerous. Returns what was mended, for the log.
    static func prepareQueue(_ queueDirectory: String, owner: Account) throws -> [String] {
        let finding = examineQueue(queueDirectory, owner: owner)
        guard finding.refusals.isEmpty else { throw RoleFailure(finding.refusals.joined(separator: "\npostern: ")) }
        var mended: [String] = []
        for rule in rules(queueDirectory) {
            switch rule.verdict(facts(rule.path), users(owner)) {
            case .create: try create(rule, owner)
            case .mend(let user, let mode, let text):
                try mend(rule.path, user, mode, owner)
                mended.append(text)
            case .fine, .refuse: break
            }
        }
        return mended + examineFiles(queueDirectory, owner: owner, mend: true).mended
    }

    /// Looks, and changes nothing.
    static func examineQueue(_ queueDirectory: String, owner: Account) -> Finding {
        var finding = Finding()
        for rule in rules(queueDirectory) {
            switch rule.verdict(facts(rule.path), users(owner)) {
            case .mend(_, _, let text): finding.mended.append(text)
            case .refuse(let text): finding.refusals.append(text)
            case .fine, .create: break
            }
        }
        let files = examineFiles(queueDirectory, owner: owner, mend: false)
        finding.mended += files.mended
        finding.refusals += files.refusals
        return finding
    }

    /// The segments of the journal: few files, each of which all mail depends on.
    private static func examineFiles(_ queueDirectory: String, owner: Account, mend: Bool) -> Finding {
        var finding = Finding()
        let directory = "\(queueDirectory)/journal"
        for name in DirectoryEntries.of(directory).sorted() {
            let path = "\(directory)/\(name)"
            guard let found = facts(path) else { continue }
            switch DirectoryRule.verdict(onFile: path, found, users(owner)) {
            case .mend(let user, _, let text):
                if mend, let user { _ = unsafe lchown(path, user, owner.groupID) }
                finding.mended.append(text)
            case .refuse(let text): finding.refusals.append(text)
            case .fine, .create: break
            }
        }
        return finding
    }

    /// `queue_directory` itself is root's, as Postfix has it: who owns it could exchange what is in it.
    private static func rules(_ queueDirectory: String) -> [DirectoryRule] {
        let open = [queueDirectory, "\(queueDirectory)/pid"].map { DirectoryRule(path: $0, owner: .system, mode: 0o755) }
        return open + ownPrivate.map { DirectoryRule(path: "\(queueDirectory)/\($0)", owner: .mailOwner, mode: 0o700) }
    }

    private static let ownPrivate = ["journal", "content", "control"]

    /// What only the queue role may touch below `queue_directory`, Postfix's own queue among it.
    static func privateToQueue(_ queueDirectory: String) -> [String] {
        let names = ownPrivate + ["incoming", "active", "deferred", "hold", "corrupt", "maildrop", "bounce", "defer", "saved", "flush"]
        return names.map { "\(queueDirectory)/\($0)" }
    }

    private static func users(_ owner: Account) -> DirectoryRule.Users {
        DirectoryRule.Users(caller: geteuid(), mailOwner: owner.userID, name: Account.name(of:))
    }

    /// lstat(2), and stat(2) through a link that root has made.
    private static func facts(_ path: String) -> DirectoryRule.Facts? {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT == S_IFLNK, status.st_uid == 0 || status.st_uid == geteuid(), unsafe stat(path, &status) != 0 {
            return nil
        }
        let kind: DirectoryRule.Kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .directory
            case S_IFLNK: .link
            case S_IFREG: .file
            default: .other
            }
        return DirectoryRule.Facts(kind: kind, userID: status.st_uid, mode: status.st_mode & 0o7777)
    }

    /// Permission bits; nil if there is no such file.
    static func mode(_ path: String) -> UInt32? {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? status.st_mode & 0o7777 : nil
    }

    private static func mend(_ path: String, _ user: UInt32?, _ mode: UInt32?, _ owner: Account) throws(SystemError) {
        // By descriptor: what was looked at is what is changed.
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("opening \(path)") }
        defer { close(descriptor) }
        if let user, fchown(descriptor, user, user == 0 ? 0 : owner.groupID) != 0 { throw SystemError("changing the owner of \(path)") }
        if let mode, fchmod(descriptor, mode) != 0 { throw SystemError("changing the mode of \(path)") }
    }

    /// Creates the directory and its parents. New ones survive a power cut: what will be flushed below them is worth nothing if their own
    /// names are lost.
    private static func create(_ rule: DirectoryRule, _ owner: Account) throws(SystemError) {
        var built = rule.path.hasPrefix("/") ? "" : "."
        for component in rule.path.split(separator: "/") {
            built += "/\(component)"
            let isLast = built == rule.path || built == "./\(rule.path)"
            if unsafe mkdir(built, isLast ? rule.mode : 0o755) == 0 {
                if isLast {
                    // The caller's umask may have taken bits away.
                    let user = Account.isRoot && rule.owner == .mailOwner ? owner.userID : nil
                    try mend(built, user, rule.mode, owner)
                }
                try flushNames(around: built)
            } else if errno != EEXIST {
                throw SystemError("creating \(built)")
            }
        }
    }

    private static func flushNames(around path: String) throws(SystemError) {
        let parent = String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
        let descriptor = unsafe open(parent.isEmpty ? "/" : parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("opening \(parent)") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw SystemError("flushing \(parent)") }
    }

    /// `path` from the root: the roles do not share the caller's working directory.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let directory = unsafe getcwd(nil, 0) else { return path }
        defer { unsafe free(directory) }
        return unsafe "\(String(cString: directory))/\(path)"
    }
}
