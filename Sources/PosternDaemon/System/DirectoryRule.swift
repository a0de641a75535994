/// What a directory (or a file in one) must be like, and what is done when it is not: a pure decision over what lstat(2) found.
struct DirectoryRule: Sendable, Hashable {
    enum Owner: Sendable, Hashable {
        /// root, or who runs everything when it is not root.
        case system
        case mailOwner
    }

    let path: String
    let owner: Owner
    /// Permission bits it should have.
    let mode: UInt32

    enum Kind: Sendable, Hashable {
        case directory
        case link
        case file
        case other
    }

    /// lstat(2), in words.
    struct Facts: Sendable, Hashable {
        let kind: Kind
        let userID: UInt32
        let mode: UInt32
    }

    /// The users of this start.
    struct Users: Sendable, Hashable {
        /// Who runs the supervisor; 0 is root.
        let caller: UInt32
        let mailOwner: UInt32
        /// A name for a user id, for messages.
        let name: @Sendable (UInt32) -> String

        func hash(into hasher: inout Hasher) { hasher.combine(caller) }

        static func == (one: Self, other: Self) -> Bool { one.caller == other.caller && one.mailOwner == other.mailOwner }
    }

    enum Verdict: Sendable, Hashable {
        case fine
        case create
        /// Change owner, mode or both; the text says what was wrong.
        case mend(owner: UInt32?, mode: UInt32?, String)
        /// Somebody may have put something there: an administrator must look first. The text says what to do.
        case refuse(String)
    }

    func verdict(_ facts: Facts?, _ users: Users) -> Verdict {
        guard let facts else { return .create }
        let isRoot = users.caller == 0
        let wanted = !isRoot || owner == .system ? users.caller : users.mailOwner
        if facts.kind == .link {
            // What it points to is looked at by another rule.
            return facts.userID == users.caller || facts.userID == 0
                ? .fine : .refuse("\(path) is a link that user \(users.name(facts.userID)) has made: remove it")
        }
        guard facts.kind == .directory else { return .refuse("\(path) is not a directory: move it away") }
        // The sticky bit does not help: names could still be added.
        if facts.mode & 0o022 != 0 {
            let who = facts.mode & 0o002 != 0 ? "everybody" : "its group"
            return .refuse("\(path) can be written by \(who): see that nothing foreign is in it, then: chmod go-w \(path)")
        }
        let mayMendOwner = isRoot && (facts.userID == 0 || facts.userID == users.mailOwner)
        if facts.userID != wanted, !mayMendOwner {
            let remedy =
                isRoot
                ? "see that nothing foreign is in it, then: chown \(users.name(wanted)) \(path)"
                : "start the server as that user or as root"
            return .refuse("\(path) belongs to user \(users.name(facts.userID)), not to \(users.name(wanted)): \(remedy)")
        }
        let newOwner = facts.userID == wanted ? nil : wanted
        let newMode = facts.mode & 0o777 == mode ? nil : mode
        if newOwner == nil, newMode == nil { return .fine }
        var wrong: [String] = []
        if newOwner != nil { wrong.append("owner \(users.name(facts.userID)) instead of \(users.name(wanted))") }
        if let newMode { wrong.append("mode \(octal(facts.mode & 0o777)) instead of \(octal(newMode))") }
        return .mend(owner: newOwner, mode: newMode, "\(path): \(wrong.joined(separator: ", "))")
    }

    /// A file in a directory of the queue.
    static func verdict(onFile path: String, _ facts: Facts, _ users: Users) -> Verdict {
        let wanted = users.caller == 0 ? users.mailOwner : users.caller
        guard facts.kind == .file else { return .refuse("\(path) is not a file: see what it is, and move it away") }
        if facts.userID == wanted { return .fine }
        // As a restored backup, or a server that was once started otherwise, leaves it.
        if users.caller == 0, facts.userID == 0 {
            return .mend(owner: wanted, mode: nil, "\(path): owner root instead of \(users.name(wanted))")
        }
        return .refuse(
            "\(path) belongs to user \(users.name(facts.userID)), not to \(users.name(wanted)): move it away, or change its owner if you know that it is right"
        )
    }

    private func octal(_ mode: UInt32) -> String { "0" + String(mode, radix: 8) }
}
