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

    /// - Parameters:
    ///   - host: the server's name, as mechanisms such as DIGEST-MD5 put it into their proof.
    ///   - sendAuthorizationID: `send_cyrus_sasl_authzid`.
    package init(
        service: String = "smtp",
        host: String,
        credentials: Credentials,
        securityOptions: SASLSecurityOptions = [.noplaintext, .noanonymous],
        mechanismFilter: MechanismFilter = .all,
        sendAuthorizationID: Bool = false
    ) throws(Failure) {
        preconditionFailure("not built yet")
    }

    /// Chooses the best of the offered mechanisms. `initialResponse` is base64, nil for none.
    package func start(offered: [String]) throws(Failure) -> (mechanism: String, initialResponse: String?) { preconditionFailure("not built yet") }

    /// Answers a 334. `challenge` and the result are base64; both may be empty.
    package func step(challenge: String) throws(Failure) -> String { preconditionFailure("not built yet") }
}
