/// What an AUTH exchange must know about its session. All of it is told to the worker; none of it is trusted from the peer.
package struct AuthenticationRequest: Sendable, Hashable {
    /// As the client typed it, upper-cased.
    package var mechanism: String
    /// Base64 as received after the mechanism's name; nil when there was none.
    package var initialResponse: String?
    package var clientAddress: String
    package var serverAddress: String
    package var tlsActive: Bool
    /// Where the back end's own words go, if anywhere. Called on the caller's thread, before the step that they belong to is returned.
    package var log: AuthenticationLog

    package init(
        mechanism: String,
        initialResponse: String?,
        clientAddress: String,
        serverAddress: String,
        tlsActive: Bool,
        log: AuthenticationLog = .none
    ) {
        self.mechanism = mechanism
        self.initialResponse = initialResponse
        self.clientAddress = clientAddress
        self.serverAddress = serverAddress
        self.tlsActive = tlsActive
        self.log = log
    }
}

/// A session's way to log what the SASL library said, under its own name and number: complete texts of warnings, such as
/// `SASL authentication failure: Password verification failed` (the word `warning: ` is the log's).
package struct AuthenticationLog: Sendable, Hashable {
    package var warning: @Sendable (String) -> Void

    package init(warning: @escaping @Sendable (String) -> Void) { self.warning = warning }

    package static let none = AuthenticationLog { _ in }

    /// Requests are compared by what they ask, not by who listens.
    package static func == (_: Self, _: Self) -> Bool { true }
    package func hash(into _: inout Hasher) {}
}

/// One step of an AUTH exchange, as the session sees it.
package enum AuthenticationStep: Sendable, Hashable {
    /// Send `334 ` and this base64 text, then answer with `continue`.
    case challenge(String)
    case success(username: String)
    /// Wrong credentials, unknown mechanism, bad protocol: `535 5.7.8 Error: authentication failed: reason`.
    case rejected(reason: String, username: String?)
    /// Our surroundings failed (dead, slow or missing back end): `454 4.7.0 Temporary authentication failure: reason`. Never a 535.
    case unavailable(reason: String, username: String?)
}

/// A running exchange. Exactly one caller; ends with any step but a challenge, or with `cancel`.
package protocol AuthenticationExchange: AnyObject {
    /// `response` is base64 as the client sent it.
    func `continue`(_ response: String) async -> AuthenticationStep
    /// The client sent `*` or went away: the worker is told and is free again.
    func cancel()
}

/// The smtpd role's one way to authenticate: the client side of the Dovecot auth protocol, towards our workers or Dovecot itself.
package protocol Authenticator: Sendable {
    /// The mechanisms to announce, in the back end's order, filtered by security options and `smtpd_sasl_mechanism_filter`.
    /// Empty while no back end has said what it offers.
    func mechanisms(tlsActive: Bool) -> [String]
    /// Begins an exchange; returns its first step, and the exchange when that step is a challenge. Bounded in time.
    /// Lines for the log that the back end gave (`SASL authentication failure: ...`) go to `request.log` first.
    func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?)
}
