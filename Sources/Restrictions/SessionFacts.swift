package import Resolver
package import SMTPCore

/// What the rules may know about a session and its message. A datum that does not exist yet is nil, and tests of it do nothing.
package struct SessionFacts: Sendable {
    package var clientAddress: IPAddress
    /// XCLIENT has said that nobody knows the address.
    package var isAddressUnknown = false
    /// The other end of the connection, which XCLIENT does not change: what `permit_inet_interfaces` looks at.
    package var socketAddress: IPAddress
    package var peerName: PeerName
    /// The client as replies show it, where that is more than name and address (`smtpd_client_port_logging`); may be empty.
    package var clientText = ""
    package var heloName: String?
    /// As the client gave it in MAIL (replies show it so); the rules complete it themselves.
    package var sender: Address?
    /// MAIL said SMTPUTF8.
    package var isUTF8 = false
    /// The recipient of the current RCPT (or VRFY), as the client gave it.
    package var recipient: Address?
    /// The argument of the current ETRN.
    package var etrnDomain: String?
    /// Recipients accepted so far.
    package var recipientCount = 0
    /// A rule has said HOLD about this message; it is said, and logged, once.
    package var isHeld = false
    package var tlsActive = false
    /// nil unless logged in.
    package var saslMethod: String?
    package var saslUsername: String?
    /// The client sent commands ahead where that is not allowed; sticky for the session.
    package var pipelinedImproperly = false
    /// ``Decision/pendingDeferral`` of an earlier stage. A session keeps the one of CONNECT and HELO until the next HELO, the one of MAIL for
    /// the transaction, and passes the first there is.
    package var pendingDeferral: Reply?

    package var addressText: String { isAddressUnknown ? "unknown" : "\(clientAddress)" }

    package init(clientAddress: IPAddress, peerName: PeerName) {
        self.clientAddress = clientAddress
        socketAddress = clientAddress
        self.peerName = peerName
    }
}
