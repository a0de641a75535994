package import SMTPCore

/// The points of a session at which restriction lists run (smtpd(8)).
package enum RestrictionStage: String, Sendable, Hashable {
    case connect = "CONNECT"
    case helo = "HELO"
    case mail = "MAIL"
    case rcpt = "RCPT"
    case vrfy = "VRFY"
    case etrn = "ETRN"
    case data = "DATA"
    case endOfData = "END-OF-MESSAGE"
}

/// One restriction as it was evaluated: what the log, `postern explain` and metrics read.
package struct TraceStep: Sendable, Hashable {
    package enum Result: Sendable, Hashable {
        case dunno
        case permit
        case reject(Reply)
        /// A rejection that `warn_if_reject` turned into a log line.
        case warned(Reply)
        /// Recorded for later: `defer_if_permit`, `defer_if_reject`.
        case deferred(Reply)
        case action(String)
    }

    /// `smtpd_recipient_restrictions`.
    package var list: String
    /// Position in the list, 0-based.
    package var index: Int
    /// As written: `check_sender_access texthash:/etc/postfix/sender`.
    package var restriction: String
    package var table: String?
    package var key: String?
    /// What the table answered.
    package var value: String?
    package var result: Result
    package var duration: Duration

    package init(
        list: String,
        index: Int,
        restriction: String,
        table: String? = nil,
        key: String? = nil,
        value: String? = nil,
        result: Result,
        duration: Duration = .zero
    ) {
        self.list = list
        self.index = index
        self.restriction = restriction
        self.table = table
        self.key = key
        self.value = value
        self.result = result
        self.duration = duration
    }
}

/// What the rules want done with the message beyond accepting it.
package enum MessageAction: Sendable, Hashable {
    /// A header line above our Received header.
    case prepend(String)
    /// The message waits in the queue until an administrator releases it (`HOLD`).
    case hold
    /// All recipients are served there, instead of `content_filter`; the last one counts (`FILTER`).
    case filter(ContentFilter)
    /// The message goes to this address instead of its recipients; the last one counts (`REDIRECT`).
    case redirect(Address)
    /// One more recipient, of whom the sender does not learn (`BCC`).
    case blindCopy(Address)
    /// The message is accepted and dropped (`DISCARD`): further recipients and the message are answered with 250, nothing is queued.
    case discard
}

/// What the restriction lists of one stage came to.
package struct Decision: Sendable, Hashable {
    /// nil: go on.
    package var rejection: Reply?
    /// The connection ends at once, and nothing is said (`HANGUP`); ``rejection`` is there too, so that nothing goes on.
    package var hangsUp = false
    package var actions: [MessageAction]
    /// Lines for the log in evaluation order, without queue id or client: `reject_warning`, `info`, `warn`, ...; `warning` and no verb at
    /// all stand for lines of their own.
    package var notices: [Notice]
    package var trace: [TraceStep]
    /// With `smtpd_delay_reject = no`: a `defer_if_permit` that later stages of the session must know (``SessionFacts/pendingDeferral``).
    package var pendingDeferral: Reply?

    /// A rule's own log line: verb (`reject_warning`, `info`, `warn`, `prepend`) and the text after `STATE from NAME[ADDR]: `.
    package struct Notice: Sendable, Hashable {
        package var verb: String
        package var text: String
        /// The reply that a warning stands for; `text` is how the log shows it.
        package var reply: Reply?

        package init(verb: String, text: String, reply: Reply? = nil) {
            self.verb = verb
            self.text = text
            self.reply = reply
        }
    }

    package init(rejection: Reply? = nil, actions: [MessageAction] = [], notices: [Notice] = [], trace: [TraceStep] = []) {
        self.rejection = rejection
        self.actions = actions
        self.notices = notices
        self.trace = trace
    }
}
