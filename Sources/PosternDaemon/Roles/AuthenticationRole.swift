import Authentication
import Glibc
import MailLog
import Settings

/// One SASL worker: blocking, crash-prone, secret-holding code in a process of its own.
struct AuthenticationRole {
    private let environment: RoleEnvironment
    private let profile: CyrusProfile

    init(_ environment: RoleEnvironment, profile index: Int) throws {
        let profiles = SASLProfiles(environment.configuration)
        guard profiles.cyrus.indices.contains(index) else { throw RoleFailure("there is no SASL profile \(index)") }
        self.environment = environment
        profile = profiles.cyrus[index]
    }

    /// The queue is out of reach afterwards. Not chrooted, and in all its groups: saslauthd's socket and sasldb are outside.
    func confine() throws -> Confinement.Report {
        try CyrusWorker.prepare(profile)
        return try Confinement(
            account: environment.owner,
            reach: .allBut(Directories.privateToQueue(environment.main.text("queue_directory"))),
            mayStartPrograms: true
        ).apply()
    }

    func run(_ control: ControlChannel) throws {
        environment.announce(try confine(), to: control, program: "auth")
        control.send(.ready)
        while case .message(let message, let descriptor) = control.receive() {
            switch message {
            case .authentication:
                guard let descriptor else { continue }
                // Closes the descriptor and returns when the smtpd role has closed its end: the process then waits for the next one's.
                CyrusWorker.run(descriptor: descriptor, profile: profile)
            case .reopenLog: if let descriptor { environment.log.adopt(descriptor) }
            case .stop: return
            default: if let descriptor { close(descriptor) }
            }
        }
    }
}
