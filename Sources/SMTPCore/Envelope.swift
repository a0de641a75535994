/// What travels with a message besides its content (RFC 5321 section 2.3.1).
package struct Envelope: Sendable, Hashable {
    package var sender: Address
    package var recipients: [Recipient]
    package var body: BodyType
    /// Who handed the message in, for the log and for bounces; never used to decide anything after acceptance.
    package var origin: MessageOrigin

    package init(sender: Address, recipients: [Recipient], body: BodyType = .unspecified, origin: MessageOrigin = MessageOrigin()) {
        self.sender = sender
        self.recipients = recipients
        self.body = body
        self.origin = origin
    }
}

/// One recipient of a message.
package struct Recipient: Sendable, Hashable {
    /// Where the message goes.
    package var address: Address
    /// The address as the client gave it, when that differs from `address` (`orig_to=` in the log, Original-Recipient in a bounce).
    package var original: Address?

    package init(address: Address, original: Address? = nil) {
        self.address = address
        self.original = original
    }
}

/// The BODY parameter of MAIL (RFC 6152).
package enum BodyType: UInt8, Sendable, Hashable {
    case unspecified = 0
    case sevenBit = 1
    case eightBitMIME = 2
}

/// The session a message came from, as the log and bounces name it.
package struct MessageOrigin: Sendable, Hashable {
    package var clientName = ""
    package var clientAddress = ""
    package var heloName = ""
    /// `SMTP` or `ESMTP`.
    package var protocolName = ""
    package var saslMethod = ""
    package var saslUsername = ""

    package init() {}
}
