/// What the supervisor and a role say to each other, one datagram each, some with a descriptor. Bounded, and parsed as from a stranger:
/// the supervisor is the trusted part, a role is not.
enum ControlMessage: Sendable, Hashable {
    // To a role.
    /// Serve this listening socket (descriptor) for the named master.cf service, once told to start.
    case listen(service: String, address: String)
    /// This address is served no longer: take what waits in its queue, then close it.
    case unlisten(address: String)
    /// A connection (descriptor) between the smtpd role's loop of this number and the queue role.
    case handOff(loop: Int)
    /// A connection (descriptor) between the smtpd role and a worker of this SASL profile.
    case authentication(profile: Int)
    /// Keys of session tickets in hexadecimal, newest first.
    case ticketKeys([String])
    /// Every role of the generation is ready: begin.
    case start
    /// Another generation accepts from now on: serve the sessions there are to their end and exit. The descriptor takes snapshots of
    /// the client counters.
    case retire
    /// Snapshots of the client counters come from the generation before, by the descriptor.
    case counters
    /// Finish what is in flight and exit.
    case stop
    /// Say ``alive`` when each of your event loops has turned.
    case ping
    /// Go on with this descriptor of the log (none for standard output). From a role: the syslog daemon is gone, and I cannot reach it.
    case reopenLog

    // From a role.
    case ready
    /// The answer to ``ping``.
    case alive
    /// The role cannot start; the text is for the administrator.
    case failed(String)
    /// How many sessions the smtpd role has.
    case sessions(Int)
    /// What the role has given up, in words for `postern status`.
    case confined(String)
    /// A record of the plan that the `plan` role makes; see ``ServerPlan``.
    case plan([String])

    static let maximumLength = 4096
    static let separator: Character = "\u{1F}"

    var text: String {
        switch self {
        case .listen(let service, let address): Self.join("listen", service, address)
        case .unlisten(let address): Self.join("unlisten", address)
        case .handOff(let loop): Self.join("handoff", "\(loop)")
        case .authentication(let profile): Self.join("auth", "\(profile)")
        case .ticketKeys(let keys): Self.join("ticket-keys", keys.joined(separator: ","))
        case .start: "start"
        case .retire: "retire"
        case .counters: "counters"
        case .stop: "stop"
        case .ping: "ping"
        case .alive: "alive"
        case .reopenLog: "reopen-log"
        case .ready: "ready"
        case .failed(let reason): Self.join("failed", String(reason.prefix(1000)))
        case .sessions(let count): Self.join("sessions", "\(count)")
        case .confined(let text): Self.join("confined", text)
        case .plan(let record): (["plan"] + record).joined(separator: String(Self.separator))
        }
    }

    private static func join(_ fields: String...) -> String { fields.joined(separator: String(separator)) }

    /// nil for anything that is not exactly one of the messages above.
    init?(text: String) {
        let fields = text.split(separator: Self.separator, maxSplits: 8, omittingEmptySubsequences: false).map(String.init)
        switch (fields[0], fields.count) {
        case ("listen", 3): self = .listen(service: fields[1], address: fields[2])
        case ("unlisten", 2): self = .unlisten(address: fields[1])
        case ("handoff", 2):
            guard let loop = Self.number(fields[1], below: 1024) else { return nil }
            self = .handOff(loop: loop)
        case ("auth", 2):
            guard let profile = Self.number(fields[1], below: 1024) else { return nil }
            self = .authentication(profile: profile)
        case ("ticket-keys", 2): self = .ticketKeys(fields[1].split(separator: ",").map(String.init))
        case ("start", 1): self = .start
        case ("retire", 1): self = .retire
        case ("counters", 1): self = .counters
        case ("stop", 1): self = .stop
        case ("ping", 1): self = .ping
        case ("alive", 1): self = .alive
        case ("reopen-log", 1): self = .reopenLog
        case ("ready", 1): self = .ready
        case ("failed", 2): self = .failed(fields[1])
        case ("sessions", 2):
            guard let count = Self.number(fields[1], below: 10_000_000) else { return nil }
            self = .sessions(count)
        case ("confined", 2): self = .confined(fields[1])
        case ("plan", 2...): self = .plan(Array(fields.dropFirst()))
        default: return nil
        }
    }

    static func number(_ text: String, below limit: Int) -> Int? {
        guard text.utf8.count <= 19, let value = Int(text), (0..<limit).contains(value) else { return nil }
        return value
    }
}
