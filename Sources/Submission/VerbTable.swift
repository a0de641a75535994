import SMTPCore

/// Where a session stands, as far as the order of commands is concerned.
enum Phase: Sendable {
    /// No HELO or EHLO yet.
    case fresh
    case greeted
    /// After MAIL, before the first accepted RCPT.
    case mail
    /// At least one recipient has been accepted.
    case recipients
    /// A BDAT has come in a transaction.
    case chunks
    /// A BDAT has been refused outside of a transaction, and LAST is awaited.
    case strayChunks
}

/// What a command came to. `reply` is nil when the handler has said all there is to say.
struct Outcome {
    var reply: Reply?
    /// Counts as a success in the statistics; a failure counts as an error.
    var succeeded: Bool
    /// The session has started anew as another client's (XCLIENT): not counted as a success, nor as an error.
    var isRestart = false

    /// A reply whose code tells whether the command succeeded.
    static func reply(_ reply: Reply) -> Outcome { Outcome(reply: reply, succeeded: reply.isPositive) }
}

/// A row of the verb table.
struct Verb: Sendable {
    let name: String
    let key: VerbKey
    /// Refused with 530 where TLS is demanded and not active.
    let allowedBeforeTLS: Bool
    /// No command may follow it in the same flight (RFC 2920 section 3.1).
    let endsPipeline: Bool
    /// Counts against `smtpd_junk_command_limit`.
    let isJunk: Bool
    /// Refused before HELO under `smtpd_helo_required`.
    let needsHelo: Bool
    /// Phases in which the verb is out of order, and the answer.
    let refusals: [(phase: Phase, reply: Reply)]
    let handler: @Sendable (Session, CommandLine) async -> Outcome

    init(
        _ name: String,
        beforeTLS: Bool = false,
        endsPipeline: Bool = false,
        junk: Bool = false,
        needsHelo: Bool = false,
        refusals: [(phase: Phase, reply: Reply)] = [],
        handler: @escaping @Sendable (Session, CommandLine) async -> Outcome
    ) {
        guard let key = VerbKey(name.utf8) else { preconditionFailure("\(name) is too long for a verb") }
        self.name = name
        self.key = key
        allowedBeforeTLS = beforeTLS
        self.endsPipeline = endsPipeline
        isJunk = junk
        self.needsHelo = needsHelo
        self.refusals = refusals
        self.handler = handler
    }
}

/// The map of the session: which verbs there are and when they may come. A new verb is a new file and a row here.
/// The order is that of the disconnect statistics.
enum VerbTable {
    static let verbs: [Verb] = [
        Verb("HELO", beforeTLS: true, endsPipeline: true, junk: true) { await $0.helo($1, extended: false) },
        Verb("EHLO", beforeTLS: true, endsPipeline: true, junk: true) { await $0.helo($1, extended: true) },
        Verb("XCLIENT", beforeTLS: true) { await $0.xclient($1) },
        Verb("XFORWARD") { await $0.xforward($1) },
        Verb("STARTTLS", beforeTLS: true) { await $0.startTLS($1) },
        Verb("AUTH", needsHelo: true) { await $0.auth($1) },
        Verb("MAIL", needsHelo: true, refusals: mailRefusals) { await $0.mail($1) },
        Verb("RCPT", refusals: rcptRefusals) { await $0.rcpt($1) },
        Verb("DATA", endsPipeline: true, refusals: dataRefusals) { await $0.data($1) },
        // Out of order it is refused by its handler, which also takes the bytes that come with it.
        Verb("BDAT") { await $0.bdat($1) },
        Verb("RSET", junk: true) { $0.rset($1) },
        Verb("NOOP", beforeTLS: true, endsPipeline: true, junk: true) { session, _ in session.noop() },
        Verb("VRFY", endsPipeline: true, junk: true) { await $0.vrfy($1) },
        Verb("ETRN", junk: true) { await $0.etrn($1) },
        Verb("QUIT", beforeTLS: true) { session, _ in session.quit() },
    ]

    static func index(of key: VerbKey?) -> Int? {
        guard let key else { return nil }
        return verbs.firstIndex { $0.key == key }
    }

    static let needHelo = Reply(503, .init(5, 5, 1), "Error: send HELO/EHLO first")
    private static let mailRefusals: [(phase: Phase, reply: Reply)] = [
        (.mail, nestedMail), (.recipients, nestedMail), (.chunks, nestedMail), (.strayChunks, afterChunk("MAIL")),
    ]
    private static let rcptRefusals: [(phase: Phase, reply: Reply)] = [
        (.fresh, needMail), (.greeted, needMail), (.strayChunks, needMail), (.chunks, afterChunk("RCPT")),
    ]
    private static let dataRefusals: [(phase: Phase, reply: Reply)] = [
        (.fresh, needRcpt), (.greeted, needRcpt), (.mail, noRecipients), (.chunks, afterChunk("DATA")), (.strayChunks, afterChunk("DATA")),
    ]

    private static func afterChunk(_ verb: String) -> Reply { Reply(503, .init(5, 5, 1), "Error: \(verb) after BDAT") }
    private static let nestedMail = Reply(503, .init(5, 5, 1), "Error: nested MAIL command")
    private static let needMail = Reply(503, .init(5, 5, 1), "Error: need MAIL command")
    static let tooBig = Reply(552, .init(5, 3, 4), "Error: message file too big")
    static let needRcpt = Reply(503, .init(5, 5, 1), "Error: need RCPT command")
    static let noRecipients = Reply(554, .init(5, 5, 1), "Error: no valid recipients")
}
