import CSASL
import Glibc

/// The accounts of a sasldb, kept through libsasl2. ``CyrusWorker/prepare(_:)`` must have returned, with a profile whose smtpd.conf names
/// the sasldb.
package enum SASLAccounts {
    /// Creates the account or changes its password. A database that is created gets mode 0640 and, by root, the group of `reader`: the
    /// account that the workers run as (`mail_owner`).
    package static func setPassword(
        _ password: SecretBytes,
        name: String,
        realm: String,
        reader: String,
        profile: CyrusProfile
    ) throws(SASLConfigurationError) {
        if password.bytes.isEmpty { throw SASLConfigurationError("an empty password is not accepted") }
        let path = profile.sasldbPath
        let existed = fileExists(path)
        try change(name: name, realm: realm, profile: profile, password: password, flags: UInt32(SASL_SET_CREATE))
        if !existed, geteuid() == 0, let entry = unsafe getpwnam(reader) {
            guard unsafe chown(path, 0, entry.pointee.pw_gid) == 0 else {
                throw SASLConfigurationError("chgrp \(path): \(systemErrorText())")
            }
        }
    }

    /// Throws when there is no such account.
    package static func delete(name: String, realm: String, profile: CyrusProfile) throws(SASLConfigurationError) {
        // libsasl2 calls it a success when there was nothing to delete.
        if let known = try? SASLDatabaseFile.accounts(path: profile.sasldbPath), !known.contains(.init(name: name, realm: realm)) {
            throw SASLConfigurationError("\(name)@\(realm): no such account")
        }
        try change(name: name, realm: realm, profile: profile, password: SecretBytes([UInt8]()), flags: UInt32(SASL_SET_DISABLE))
    }

    private static func change(
        name: String,
        realm: String,
        profile: CyrusProfile,
        password: SecretBytes,
        flags: UInt32
    ) throws(SASLConfigurationError) {
        guard !name.isEmpty, !name.utf8.contains(0), name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else {
            throw SASLConfigurationError("\"\(printableLogin(name))\" is not a login name")
        }
        // Berkeley DB creates with 0660 less the umask: nobody else is to read it, and its group only reads.
        let mask = umask(0o027)
        defer { umask(mask) }
        let (status, detail) = CyrusLock.hold { () -> (CInt, [String]) in
            do throws(CyrusServerConnection.Failure) {
                let connection = try CyrusServerConnection(
                    service: profile.service,
                    serverName: profile.serverName,
                    realm: realm,
                    options: []
                )
                let status = connection.setPassword(name: name, password: password, flags: flags)
                return (status, CyrusServer.takeLog())
            } catch {
                return (error.status, CyrusServer.takeLog())
            }
        }
        guard status == SASL_OK else {
            let words = detail.map { $0.replacing("SASL authentication ", with: "", maxReplacements: 1) }.joined(separator: "; ")
            let reason = status == SASL_NOUSER ? "no such account" : CyrusServer.errorText(status)
            throw SASLConfigurationError("\(name)@\(realm): \(reason)\(words.isEmpty ? "" : " (\(words))")")
        }
    }
}
