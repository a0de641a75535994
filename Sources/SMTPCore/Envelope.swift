/// What travels with a message besides its content (RFC 5321 section 2.3.1).
package struct Envelope: Sendable, Hashable {
    package var sender: Address
    package var recipients: [Recipient]
    package var body: BodyType
    /// The client said SMTPUTF8, or an address or a header needs it (RFC 6531 section 3.4): a next hop must offer it, or get only what
    /// needs it not.
    package var needsUTF8 = false
    /// What a delivery status notification is to return (RFC 3461 section 4.3).
    package var returns = ReturnedContent.unspecified
    /// ENVID, decoded; empty when the client gave none (RFC 3461 section 4.4).
    package var envelopeID = ""
    /// The two delimiters of `MAIL ... XVERP`: each recipient is served with a sender of its own. nil without.
    package var verpDelimiters: VERPDelimiters?
    /// All recipients are served there (FILTER, `content_filter`); nil: where their domains lead.
    package var contentFilter: ContentFilter?
    /// The queue is to keep the message until an administrator releases it (HOLD). Asked for at the accept; from then on the queue's own
    /// record tells.
    package var isHeld = false
    /// Who handed the message in, for the log and for bounces; never used to decide anything after acceptance.
    package var origin: MessageOrigin

    package init(sender: Address, recipients: [Recipient], body: BodyType = .unspecified, origin: MessageOrigin = MessageOrigin()) {
        self.sender = sender
        self.recipients = recipients
        self.body = body
        self.origin = origin
    }
}

extension Envelope {
    /// The sender under which one recipient is served: with ``verpDelimiters`` it names the recipient, as the client gave it.
    package func sender(for recipient: Recipient) -> Address {
        guard let verpDelimiters, !sender.isNull else { return sender }
        let served = recipient.original ?? recipient.address
        let (outer, inner) = (Unicode.Scalar(verpDelimiters.outer), Unicode.Scalar(verpDelimiters.inner))
        return Address(
            localPart: "\(sender.localPart)\(outer)\(served.localPart)" + (served.domain.map { "\(inner)\($0)" } ?? ""),
            domain: sender.domain
        )
    }
}

/// One recipient of a message.
package struct Recipient: Sendable, Hashable {
    /// Where the message goes.
    package var address: Address
    /// The address as the client gave it, when that differs from `address` (`orig_to=` in the log, Original-Recipient in a bounce).
    package var original: Address?
    /// What the sender wants to hear (RFC 3461 section 4.1); empty when the client did not say.
    package var notify: NotifyConditions
    /// ORCPT, decoded, as `type;address` (RFC 3461 section 4.2); empty when the client gave none.
    package var declaredOriginal: String

    package init(address: Address, original: Address? = nil, notify: NotifyConditions = [], declaredOriginal: String = "") {
        self.address = address
        self.original = original
        self.notify = notify
        self.declaredOriginal = declaredOriginal
    }

    /// Whether the sender is to hear that delivery failed. Without NOTIFY, yes (RFC 3461 section 4.1).
    package var wantsFailureNotice: Bool { notify.isEmpty || notify.contains(.failure) }

    /// Whether the sender is to hear that delivery is delayed, where that is told at all. Without NOTIFY, yes (`delay_warning_time`).
    package var wantsDelayNotice: Bool { notify.isEmpty || notify.contains(.delay) }
}

/// The values of NOTIFY (RFC 3461 section 4.1).
package struct NotifyConditions: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Stands alone.
    package static let never = NotifyConditions(rawValue: 1)
    package static let success = NotifyConditions(rawValue: 2)
    package static let failure = NotifyConditions(rawValue: 4)
    package static let delay = NotifyConditions(rawValue: 8)

    /// No bit but these.
    package var isValid: Bool { rawValue < 16 && (!contains(.never) || self == .never) }
}

/// The values of RET (RFC 3461 section 4.3).
package enum ReturnedContent: UInt8, Sendable, Hashable {
    case unspecified = 0
    case full = 1
    case headers = 2
}

/// The delimiters of a variable envelope return path: `sender+user=domain@origin` has `+` and `=`.
package struct VERPDelimiters: Sendable, Hashable {
    package var outer: UInt8
    package var inner: UInt8

    /// Visible ASCII but for `@` and what would need quotes is checked where they are read (`verp_delimiter_filter`).
    package init(outer: UInt8, inner: UInt8) {
        self.outer = outer
        self.inner = inner
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
