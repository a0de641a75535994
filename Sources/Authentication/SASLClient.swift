import CSASL

/// The relay's side of AUTH: one exchange with a next hop, by libsasl2's client mechanisms. Not for concurrent use; one per AUTH command.
package final class SASLClient {
    package struct Credentials: Sendable, Hashable {
        package var username: String
        package var password: String

        package init(username: String, password: String) {
            self.username = username
            self.password = password
        }
    }

    /// Why no exchange is possible, or why it ended: the library's own words, such as `no mechanism available`.
    /// The relay's log line is `SASL authentication failed; cannot authenticate to server HOST: REASON`.
    package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
        package var reason: String
        package var description: String { reason }

        package init(_ reason: String) { self.reason = reason }
    }

    /// Loads the mechanisms, which are files. A process that gives up the file system calls this before; otherwise the first exchange does.
    package static func loadMechanisms() throws(Failure) { try SASLClientHandle.load() }

    private let handle: SASLClientHandle

    /// - Parameters:
    ///   - host: the server's name, as mechanisms such as DIGEST-MD5 put it into their proof.
    ///   - sendAuthorizationID: `send_cyrus_sasl_authzid`.
    package init(
        service: String = "smtp",
        host: String,
        credentials: Credentials,
        securityOptions: SASLSecurityOptions = [.noplaintext, .noanonymous],
        sendAuthorizationID: Bool = false
    ) throws(Failure) {
        handle = try SASLClientHandle(
            service: service,
            host: host,
            credentials: credentials,
            options: securityOptions,
            sendAuthorizationID: sendAuthorizationID
        )
    }

    /// Chooses the best of the offered mechanisms. `initialResponse` is base64, nil for none.
    package func start(offered: [String]) throws(Failure) -> (mechanism: String, initialResponse: String?) {
        // Names go into one C string with spaces between: only RFC 4422 names do.
        let usable = offered.filter { name in
            (1...20).contains(name.utf8.count)
                && name.utf8.allSatisfy {
                    ($0 >= 0x41 && $0 <= 0x5A) || ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D || $0 == 0x5F
                }
        }
        // libsasl2 needs a list that is not empty to say its own "no mechanism available".
        if usable.isEmpty { throw Failure(CyrusServer.errorText(SASL_NOMECH)) }
        return try handle.start(usable.joined(separator: " "))
    }

    /// Answers a 334. `challenge` and the result are base64; both may be empty.
    package func step(challenge: String) throws(Failure) -> String { try handle.step(challenge) }
}
