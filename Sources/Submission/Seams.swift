package import NIOCore
package import Restrictions
package import Routing
package import SMTPCore

/// What a session asks the restriction lists of its service (`smtpd_*_restrictions`).
package protocol SessionRules: Sendable {
    /// Runs the lists that belong to `stage` under this service's `smtpd_delay_reject`. Bounded in time; a failing look-up is a 4xx rejection.
    func evaluate(_ stage: RestrictionStage, _ facts: SessionFacts) async -> Decision
}

/// What a session asks trivial-rewrite(8): the completed form of an envelope address, and whether any delivery could follow it.
package protocol EnvelopeRouter: Sendable {
    /// The "local" rewriting context: `user` becomes `user@$myorigin`, `a!b` becomes `b@a`, a trailing dot of the domain goes away.
    func rewrite(_ address: Address) -> Address
    /// Where the (rewritten) address leads.
    func resolve(_ address: Address) async -> AddressResolution
}

/// The server's side of TLS for one service: makes the handler that decrypts one connection and fires `TLSEvent`s.
package protocol ServerTLS: Sendable {
    /// Called on the channel's loop; throws when the engine cannot start a connection (454 at STARTTLS, close in wrapper mode).
    func makeServerHandler() throws -> any ChannelHandler
}
