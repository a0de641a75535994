package import Resolver
package import SMTPCore

/// What the rules may know about a session and its message. A datum that does not exist yet is nil, and tests of it do nothing.
package struct SessionFacts: Sendable {
    package var clientAddress: IPAddress
    package var peerName: PeerName
    package var heloName: String?
    /// After rewriting (`user` has become `user@$myorigin`).
    package var sender: Address?
    /// The recipient of the current RCPT (or VRFY), after rewriting.
    package var recipient: Address?
    /// Recipients accepted so far.
    package var recipientCount = 0
    package var tlsActive = false
    /// nil unless logged in.
    package var saslMethod: String?
    package var saslUsername: String?
    /// The client sent commands ahead where that is not allowed; sticky for the session.
    package var pipelinedImproperly = false

    package init(clientAddress: IPAddress, peerName: PeerName) {
        self.clientAddress = clientAddress
        self.peerName = peerName
    }
}
