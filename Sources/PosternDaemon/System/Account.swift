import CLinux
import Glibc

/// A user of the system, as `mail_owner` and `smtpd_owner` name it.
package struct Account: Sendable, Hashable {
    package let name: String
    let userID: uid_t
    let groupID: gid_t

    /// nil if there is no such user.
    package init?(named name: String) {
        guard let entry = unsafe getpwnam(name) else { return nil }
        self.name = name
        self.userID = unsafe entry.pointee.pw_uid
        self.groupID = unsafe entry.pointee.pw_gid
    }

    /// Whoever runs this process; the account need not have a name.
    static var current: Account {
        let entry = unsafe getpwuid(geteuid())
        return Account(
            name: unsafe entry.map { unsafe String(cString: $0.pointee.pw_name) } ?? "\(geteuid())",
            userID: geteuid(),
            groupID: getegid()
        )
    }

    /// The user's name, or its number when it has none.
    static func name(of userID: uid_t) -> String {
        unsafe getpwuid(userID).map { unsafe String(cString: $0.pointee.pw_name) } ?? "\(userID)"
    }

    private init(name: String, userID: uid_t, groupID: gid_t) {
        self.name = name
        self.userID = userID
        self.groupID = groupID
    }

    /// Whether this process may become somebody else. Without root everything runs as the caller.
    package static var isRoot: Bool { geteuid() == 0 }

    /// For a command that works as this user does (`queue`, `auth-test`): becomes it for good, with its supplementary groups. Roles give up
    /// more, see ``Confinement``.
    package func become() throws(SystemError) {
        if Account.isRoot { try assume() }
        let code = postern_harden_process()
        if code != 0 { throw SystemError("prctl", code: code) }
    }

    /// Changes from root to this user, who is in its groups but not in those that `secrets` belong to.
    /// - Parameter mayStayOutside: a chroot that a service manager does not permit is done without; the result says whether it was.
    @discardableResult
    func assume(chroot: String? = nil, mayStayOutside: Bool = false, secrets: [String] = []) throws(SystemError) -> Bool {
        // Group membership is read from /etc/group, so before the chroot.
        let dropped = secrets.compactMap(Self.group(of:))
        let code = unsafe postern_set_groups(name, groupID, dropped, dropped.count)
        if code != 0 { throw SystemError("setgroups for \(name)", code: code) }
        var isInside = false
        if let chroot {
            isInside = unsafe Glibc.chroot(chroot) == 0
            guard isInside || (mayStayOutside && errno == EPERM), unsafe chdir("/") == 0 else { throw SystemError("chroot \(chroot)") }
        }
        guard setgid(groupID) == 0 else { throw SystemError("setgid \(groupID)") }
        guard setuid(userID) == 0 else { throw SystemError("setuid \(userID)") }
        guard setuid(0) != 0 else { throw SystemError("setuid: root could be regained", code: EPERM) }
        return isInside
    }

    private static func group(of path: String) -> gid_t? {
        var status = stat()
        return unsafe stat(path, &status) == 0 ? status.st_gid : nil
    }
}
