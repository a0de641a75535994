import Authentication
import MailLog
import Notices
import Restrictions
import SMTPCore

extension Session {
    /// AUTH (RFC 4954). The back end decides; the session carries base64 lines and words the outcome.
    func auth(_ command: CommandLine) async -> Outcome {
        if let refusal = refusal(toLogIn: command) { return .reply(refusal) }
        guard let authenticator = service.authenticator else { return .reply(Self.authenticationDisabled) }
        let mechanism = Self.shown(command[1])
        var (step, exchange) = await authenticator.begin(request(mechanism, command))
        while case .challenge(let challenge) = step, let running = exchange {
            await send(Reply(334, nil, challenge))
            guard let response = await nextLine(limit: policy.sasl.responseLimit, isCommand: false) else {
                running.cancel()
                return Outcome(reply: nil, succeeded: false)
            }
            transcript?.secret()
            if let refusal = refusal(of: response, mechanism) {
                running.cancel()
                return .reply(refusal)
            }
            step = await running.continue(String(decoding: response.bytes, as: UTF8.self))
            if case .challenge = step {} else { exchange = nil }
        }
        return .reply(conclude(step, mechanism))
    }

    @inline(never)
    private func refusal(toLogIn command: CommandLine) -> Reply? {
        guard isAuthActive else { return Self.authenticationDisabled }
        if transaction != nil { return Reply(503, .init(5, 5, 1), "Error: MAIL transaction in progress") }
        if facts.saslUsername != nil { return Reply(503, .init(5, 5, 1), "Error: already authenticated") }
        // Each AUTH counts, well-formed or not (compared with smtpd(8)).
        if let count = overRate(.auth, policy.limits.authRate) {
            log.warning("AUTH command rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
            return Reply(450, .init(4, 7, 1), "Error: too many AUTH commands from \(addressText)")
        }
        return (2...3).contains(command.count) ? nil : Reply(501, .init(5, 5, 4), "Syntax: AUTH mechanism")
    }

    @inline(never)
    private func request(_ mechanism: String, _ command: CommandLine) -> AuthenticationRequest {
        let log = log
        return AuthenticationRequest(
            mechanism: mechanism.uppercased(),
            initialResponse: command.count == 3 ? command.text(2) : nil,
            clientAddress: clientAddress.description,
            serverAddress: serverAddress,
            tlsActive: tls != nil,
            log: AuthenticationLog { log.warning($0) }
        )
    }

    private static let authenticationDisabled = Reply(503, .init(5, 5, 1), "Error: authentication not enabled")

    /// A response that ends the exchange.
    @inline(never)
    private func refusal(of response: InputLine, _ mechanism: String) -> Reply? {
        if response.isTooLong { return Reply(500, .init(5, 5, 6), "SASL response limit exceeded") }
        if response.bytes.elementsEqual("*".utf8) {
            log.warning("\(clientText): SASL \(mechanism) authentication aborted")
            return Reply(501, .init(5, 7, 0), "Authentication aborted")
        }
        return nil
    }

    @inline(never)
    private func conclude(_ step: AuthenticationStep, _ mechanism: String) -> Reply {
        switch step {
        case .success(let username):
            facts.saslMethod = mechanism
            facts.saslUsername = Self.printable(login: username)
            return Reply(235, .init(2, 7, 0), "Authentication successful")
        case .rejected(let reason, let username):
            logFailedLogin(mechanism, reason, username)
            return Reply(535, .init(5, 7, 8), "Error: authentication failed: \(reason)")
        case .unavailable(let reason, let username):
            logFailedLogin(mechanism, reason, username)
            return Reply(454, .init(4, 7, 0), "Temporary authentication failure: \(reason)")
        case .challenge:
            log.warning("SASL back end sent a challenge without an exchange to answer it")
            return Reply(454, .init(4, 7, 0), "Temporary authentication failure: generic failure")
        }
    }

    private func logFailedLogin(_ mechanism: String, _ reason: String, _ username: String?) {
        let user = username.map { Self.printable(login: $0).prefix(100) } ?? "(unavailable)"
        log.warning("\(clientText): SASL \(mechanism.prefix(100)) authentication failed: \(reason), sasl_username=\(user)")
    }
}
