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

    private init(name: String, userID: uid_t, groupID: gid_t) {
        self.name = name
        self.userID = userID
        self.groupID = groupID
    }

    /// Whether this process may become somebody else. Without root everything runs as the caller.
    package static var isRoot: Bool { geteuid() == 0 }

    /// Becomes this user for good, with its supplementary groups (a mail owner in group `sasl` reaches saslauthd's socket), and gives up
    /// core files, tracing and new privileges. Without root only the latter. Call before any thread exists and before any byte is read
    /// from the network.
    package func become(chroot directory: String? = nil) throws(SystemError) {
        if Account.isRoot {
            // Group membership is read from /etc/group, so before the chroot.
            guard unsafe initgroups(name, groupID) == 0 else { throw SystemError("initgroups \(name)") }
            if let directory {
                guard unsafe Glibc.chroot(directory) == 0, unsafe chdir("/") == 0 else { throw SystemError("chroot \(directory)") }
            }
            guard setgid(groupID) == 0 else { throw SystemError("setgid \(groupID)") }
            guard setuid(userID) == 0 else { throw SystemError("setuid \(userID)") }
            guard setuid(0) != 0 else { throw SystemError("setuid: root could be regained", code: EPERM) }
        }
        let code = postern_harden_process()
        if code != 0 { throw SystemError("prctl", code: code) }
    }
}
