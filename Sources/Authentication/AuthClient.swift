package import NIOCore
import SMTPCore

/// The smtpd role's AUTH client: one service's view (security options, realm, filter) of a pool of back ends.
///
/// May be used from any event loop; a step's result resumes on the caller's own executor.
package final class AuthClient: Authenticator {
    private let configuration: AuthClientConfiguration
    private let pool: AuthPool
    private var timeout: TimeAmount { .seconds(Int64(configuration.timeoutSeconds)) }

    /// Several services can share the `pool` if their workers are the same (`smtpd_sasl_path`, configuration paths) or Dovecot's socket is.
    package init(configuration: AuthClientConfiguration, pool: AuthPool) {
        self.configuration = configuration
        self.pool = pool
    }

    /// A client with a pool of workers of its own.
    package convenience init(configuration: AuthClientConfiguration, group: any EventLoopGroup) {
        self.init(configuration: configuration, pool: AuthPool(group: group))
    }

    /// A client with a Dovecot connection of its own.
    package convenience init(configuration: AuthClientConfiguration, dovecotSocket: DovecotSocket, group: any EventLoopGroup) {
        self.init(configuration: configuration, pool: AuthPool(dovecotSocket: dovecotSocket, group: group))
    }

    /// See ``AuthPool/addWorker(descriptor:)``.
    package func addWorker(descriptor: CInt) { pool.addWorker(descriptor: descriptor) }

    package func mechanisms(tlsActive: Bool) -> [String] { allowed(tlsActive: tlsActive).map(\.name) }

    private func allowed(tlsActive: Bool) -> [AuthMechanism] {
        let options = tlsActive ? configuration.tlsSecurityOptions : configuration.securityOptions
        return pool.mechanisms.filter {
            !$0.flags.contains(.private) && $0.isAllowed(by: options) && configuration.mechanismFilter.accepts($0.name)
        }
    }

    package func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        let mechanism = request.mechanism.uppercased()
        if let refusal = refusal(of: mechanism, request) { return (refusal, nil) }
        let start = AuthPoolCore.Start(
            network: ClientNetwork(address: request.clientAddress),
            mechanism: mechanism,
            parameters: parameters(for: request),
            response: request.initialResponse.map { SecretBytes($0) },
            timeout: timeout
        )
        let outcome = await pool.begin(start)
        for line in outcome.log { request.log.warning(line) }
        guard let id = outcome.id else { return (outcome.step, nil) }
        return (outcome.step, Exchange(id: id, pool: pool, timeout: timeout, log: request.log))
    }

    /// What needs no back end: a mechanism that is not announced here, and base64 that would break Dovecot's lines.
    private func refusal(of mechanism: String, _ request: AuthenticationRequest) -> AuthenticationStep? {
        let offered = pool.mechanisms
        // Before the handshake nobody knows; the back end will say.
        if offered.isEmpty { return nil }
        if pool.isDovecot {
            guard allowed(tlsActive: request.tlsActive).contains(where: { $0.name == mechanism }) else {
                return .rejected(reason: "Invalid authentication mechanism: '\(printableLogin(request.mechanism))'", username: nil)
            }
            if let response = request.initialResponse, !isBase64(response) {
                return .rejected(reason: "Invalid base64 data in initial response", username: nil)
            }
        } else if offered.contains(where: { $0.name == mechanism }), !configuration.mechanismFilter.accepts(mechanism) {
            // The library knows the security options, but not the filter.
            return .rejected(reason: "no mechanism available", username: nil)
        }
        return nil
    }

    private func parameters(for request: AuthenticationRequest) -> AuthParameters {
        var items: [(String, String?)] = [
            ("service", configuration.service), ("nologin", nil), ("lip", request.serverAddress), ("rip", request.clientAddress),
        ]
        if request.tlsActive { items.append(("secured", nil)) }
        if !pool.isDovecot {
            let options = request.tlsActive ? configuration.tlsSecurityOptions : configuration.securityOptions
            items += [("x-security", options.text), ("x-server", configuration.serverName), ("x-realm", configuration.localDomain)]
        }
        return AuthParameters(items)
    }

    /// A pinned conversation. Ends its back end's part when it is dropped, however the session forgot it.
    private final class Exchange: AuthenticationExchange {
        private let id: UInt32
        private let pool: AuthPool
        private let timeout: TimeAmount
        private let log: AuthenticationLog
        private var isOver = false

        init(id: UInt32, pool: AuthPool, timeout: TimeAmount, log: AuthenticationLog) {
            self.id = id
            self.pool = pool
            self.timeout = timeout
            self.log = log
        }

        deinit { cancel() }

        func `continue`(_ response: String) async -> AuthenticationStep {
            if pool.isDovecot, !isBase64(response) {
                cancel()
                return .rejected(reason: "Invalid base64 data in continued response", username: nil)
            }
            let outcome = await pool.continue(id: id, response: SecretBytes(response), timeout: timeout)
            if outcome.id == nil { isOver = true }
            for line in outcome.log { log.warning(line) }
            return outcome.step
        }

        func cancel() {
            if isOver { return }
            isOver = true
            pool.cancel(id: id)
        }
    }
}

/// Whether `text` consists of base64 characters only and fits Dovecot's line; whether it decodes is the back end's to say.
private func isBase64(_ text: String) -> Bool {
    text.utf8.count < AuthProtocol.maximumDovecotLine - 1024
        && text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "+"), UInt8(ascii: "/"), UInt8(ascii: "="): true
            default: false
            }
        }
}

extension ClientNetwork {
    init(address: String) {
        guard let parsed = IPAddress(address)?.unmapped else {
            self.init(text: address)
            return
        }
        switch parsed {
        case .v4: self.init(text: "\(parsed)")
        case .v6: self.init(text: "\(parsed.masked(to: 64))/64")
        }
    }
}
