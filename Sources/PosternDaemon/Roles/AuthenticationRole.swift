import Authentication
import Glibc
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

    func run(_ control: ControlChannel) throws {
        try CyrusWorker.prepare(profile)
        try environment.owner.become()
        control.send(.ready)
        while case .message(let message, let descriptor) = control.receive() {
            switch message {
            case .authentication:
                guard let descriptor else { continue }
                // Closes the descriptor and returns when the smtpd role has closed its end: the process then waits for the next one's.
                CyrusWorker.run(descriptor: descriptor, profile: profile)
            case .stop: return
            default: if let descriptor { close(descriptor) }
            }
        }
    }
}
