import Glibc

/// Directories that must exist before the roles start, with the owner that uses them.
enum Directories {
    /// Creates `path` and its parents; a directory that exists keeps its mode. New ones belong to `owner`, and survive a power cut: what
    /// will be flushed below them is worth nothing if their own names are lost.
    static func create(_ path: String, mode: mode_t, owner: Account) throws(SystemError) {
        var built = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            built += "/\(component)"
            let isLast = built == path || built == "./\(path)"
            if unsafe mkdir(built, isLast ? mode : 0o755) == 0 {
                if Account.isRoot, isLast { try give(built, to: owner) }
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

    /// Makes `owner` own `path`, without following a link an attacker may have put there.
    static func give(_ path: String, to owner: Account) throws(SystemError) {
        guard Account.isRoot else { return }
        guard unsafe lchown(path, owner.userID, owner.groupID) == 0 else { throw SystemError("changing the owner of \(path)") }
    }

    /// What only the queue role may touch below `queue_directory`, Postfix's own queue among it.
    static func privateToQueue(_ queueDirectory: String) -> [String] {
        let names = ownPrivate + ["incoming", "active", "deferred", "hold", "corrupt", "maildrop", "bounce", "defer", "saved", "flush"]
        return names.map { "\(queueDirectory)/\($0)" }
    }

    private static let ownPrivate = ["journal", "content", "control"]

    /// What the queue role needs below `queue_directory`. Its own directories are private to the mail owner.
    static func prepareQueue(_ queueDirectory: String, owner: Account) throws(SystemError) {
        try create(queueDirectory, mode: 0o755, owner: owner)
        try create("\(queueDirectory)/pid", mode: 0o755, owner: owner)
        for name in ownPrivate {
            try create("\(queueDirectory)/\(name)", mode: 0o700, owner: owner)
            try give("\(queueDirectory)/\(name)", to: owner)
        }
    }
}
