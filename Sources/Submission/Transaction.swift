import SMTPCore

/// One message between MAIL and the end of DATA.
struct Transaction {
    /// As the client gave it, for replies and the log.
    var sender: Address
    /// After rewriting.
    var envelopeSender: Address
    var body: BodyType
    /// The client said SMTPUTF8.
    var isUTF8: Bool
    /// RET and ENVID.
    var returns: ReturnedContent
    var envelopeID: String
    /// AUTH= as the client wrote it, for the log; empty without.
    var declaredIdentity: String
    /// XVERP.
    var verpDelimiters: VERPDelimiters?
    /// One for each accepted RCPT.
    var recipients: [Recipient] = []
    /// Who else gets the message: further results of aliases, and blind copies.
    var copies: [Recipient] = []
    /// Bytes that ``recipients`` and ``copies`` take on their way to the queue.
    var recipientsLength = 0
    /// The first accepted recipient as the client gave it, for the log of what happens after RCPT.
    var firstRecipient: Address?
    /// Known from the first accepted recipient on.
    var queueID: QueueID?
    /// Header lines that rules want above our Received header.
    var prependedHeaders: [String] = []
    /// A rule said DISCARD: everything is answered with 250 and nothing is queued.
    var isDiscarded = false
    /// A rule said HOLD.
    var isHeld = false
    /// FILTER; the last one counts.
    var filter: ContentFilter?
    /// REDIRECT; the last one counts.
    var redirection: Address?
    /// The targets of BCC that ``copies`` has.
    var blindCopies: Set<Address> = []
    /// Recipients refused beyond `smtpd_recipient_limit`.
    var recipientOvershoot = 0
    /// Missing headers are added (`local_header_rewrite_clients`).
    var completesHeaders: Bool
    /// The client is one of those whose header addresses are completed with `$myorigin` (`local_header_rewrite_clients`).
    var isLocal = false
    /// `defer_if_permit` of the MAIL stage.
    var pendingDeferral: Reply?

    init(sender: Address, envelopeSender: Address, parameters: MailParameters, completesHeaders: Bool) {
        self.sender = sender
        self.envelopeSender = envelopeSender
        body = parameters.body
        isUTF8 = parameters.isUTF8
        returns = parameters.returns
        envelopeID = parameters.envelopeID
        declaredIdentity = parameters.declaredIdentity
        verpDelimiters = parameters.verpDelimiters
        self.completesHeaders = completesHeaders
    }
}

extension Transaction {
    /// REDIRECT: one recipient in the place of all; reports speak of the first.
    var redirected: [Recipient]? {
        guard let redirection, var recipient = recipients.first else { return nil }
        recipient.original = recipient.original ?? recipient.address
        recipient.address = redirection
        return [recipient]
    }
}
