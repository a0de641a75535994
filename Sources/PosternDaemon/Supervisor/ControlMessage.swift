/// What the supervisor and a role say to each other, one datagram each, some with a descriptor. Bounded, and parsed as from a stranger:
/// the supervisor is the trusted part, a role is not.
enum ControlMessage: Sendable, Hashable {
    // To a role.
    /// Serve this listening socket (descriptor) for the named master.cf service.
    case listen(service: String, address: String)
    /// A connection (descriptor) between the smtpd role's loop of this number and the queue role.
    case handOff(loop: Int)
    /// A connection (descriptor) between the smtpd role and a worker of this SASL profile.
    case authentication(profile: Int)
    /// Everything has been handed over: begin.
    case start
    /// Finish what is in flight and exit.
    case stop
    /// Go on with this descriptor of the log (none for standard output). From a role: the syslog daemon is gone, and I cannot reach it.
    case reopenLog

    // From a role.
    case ready
    /// The role cannot start; the text is for the administrator.
    case failed(String)

    static let maximumLength = 4096
    private static let separator: Character = "\u{1F}"

    var text: String {
        switch self {
        case .listen(let service, let address): "listen\(Self.separator)\(service)\(Self.separator)\(address)"
        case .handOff(let loop): "handoff\(Self.separator)\(loop)"
        case .authentication(let profile): "auth\(Self.separator)\(profile)"
        case .start: "start"
        case .stop: "stop"
        case .reopenLog: "reopen-log"
        case .ready: "ready"
        case .failed(let reason): "failed\(Self.separator)\(reason.prefix(1000))"
        }
    }

    /// nil for anything that is not exactly one of the messages above.
    init?(text: String) {
        let fields = text.split(separator: Self.separator, maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        switch (fields[0], fields.count) {
        case ("listen", 3): self = .listen(service: fields[1], address: fields[2])
        case ("handoff", 2):
            guard let loop = Int(fields[1]), (0..<1024).contains(loop) else { return nil }
            self = .handOff(loop: loop)
        case ("auth", 2):
            guard let profile = Int(fields[1]), (0..<1024).contains(profile) else { return nil }
            self = .authentication(profile: profile)
        case ("start", 1): self = .start
        case ("stop", 1): self = .stop
        case ("reopen-log", 1): self = .reopenLog
        case ("ready", 1): self = .ready
        case ("failed", 2): self = .failed(fields[1])
        default: return nil
        }
    }
}
