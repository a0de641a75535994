/// One login by each mechanism over the true path, for `postern auth-test`: the worker's code, or Dovecot's socket, with libsasl2's client
/// as the mail program. Blocks; not for a server.
package enum AuthTest {
    package enum BackEnd: Sendable {
        /// ``CyrusWorker/prepare(_:)`` must have returned.
        case cyrus(CyrusProfile)
        case dovecot(DovecotSocket)
    }

    package struct Attempt: Sendable {
        package var mechanism: String
        package var step: AuthenticationStep
        /// What the library said meanwhile.
        package var log: [String]
    }

    /// - Parameter mechanism: one that the back end offers.
    package static func login(
        _ backEnd: BackEnd,
        configuration: AuthClientConfiguration,
        mechanism: String,
        user: String,
        password: String,
        tlsActive: Bool
    ) -> Attempt {
        do throws(SASLClient.Failure) {
            let client = try SASLClient(
                service: configuration.service,
                host: configuration.serverName,
                credentials: .init(username: user, password: password),
                securityOptions: []
            )
            let (name, response) = try client.start(offered: [mechanism])
            var parameters: [(String, String?)] = [
                ("service", configuration.service), ("nologin", nil), ("lip", "127.0.0.1"), ("rip", "127.0.0.1"),
            ]
            if tlsActive { parameters.append(("secured", nil)) }
            if case .cyrus = backEnd {
                let options = tlsActive ? configuration.tlsSecurityOptions : configuration.securityOptions
                parameters += [
                    ("x-security", options.text), ("x-server", configuration.serverName), ("x-realm", configuration.localDomain),
                ]
            }
            let conversation: any AuthConversation
            switch backEnd {
            case .cyrus(let profile):
                conversation = CyrusConversation(CyrusExchange(profile: profile, parameters: AuthParameters(parameters)))
            case .dovecot(let socket): conversation = try BlockingAuthConnection(socket).conversation(AuthParameters(parameters))
            }
            var attempt = Attempt(mechanism: name, step: conversation.start(name, response.map { SecretBytes($0) }), log: [])
            // No mechanism takes more turns than this.
            for _ in 0..<10 {
                attempt.log += conversation.takeLog()
                guard case .challenge(let challenge) = attempt.step else { break }
                attempt.step = conversation.step(SecretBytes(try client.step(challenge: challenge)))
            }
            return attempt
        } catch {
            return Attempt(mechanism: mechanism, step: .rejected(reason: "on our side: \(error.reason)", username: nil), log: [])
        }
    }

    /// What Dovecot offers.
    package static func dovecotMechanisms(_ socket: DovecotSocket) throws(SASLClient.Failure) -> [AuthMechanism] {
        try BlockingAuthConnection(socket).mechanisms
    }
}

/// The server's side of one attempt.
protocol AuthConversation: AnyObject {
    func start(_ mechanism: String, _ response: SecretBytes?) -> AuthenticationStep
    func step(_ response: SecretBytes) -> AuthenticationStep
    func takeLog() -> [String]
}

private final class CyrusConversation: AuthConversation {
    private let exchange: CyrusExchange
    private var log: [String] = []

    init(_ exchange: CyrusExchange) { self.exchange = exchange }

    func start(_ mechanism: String, _ response: SecretBytes?) -> AuthenticationStep {
        keep(exchange.start(mechanism: mechanism, response: response))
    }
    func step(_ response: SecretBytes) -> AuthenticationStep { keep(exchange.step(response: response)) }

    func takeLog() -> [String] {
        defer { log = [] }
        return log
    }

    private func keep(_ result: CyrusExchange.Result) -> AuthenticationStep {
        log += result.log
        return result.step
    }
}
