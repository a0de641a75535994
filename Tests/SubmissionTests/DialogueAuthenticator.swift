import Authentication
import Foundation

/// Knows alice and her password, and words its failures as libsasl2 does; the realm is `mx.test.example`.
struct DialogueAuthenticator: Authenticator {
    let offered: [String]

    func mechanisms(tlsActive: Bool) -> [String] { offered }

    func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        guard offered.contains(request.mechanism) else { return (.rejected(reason: "no mechanism available", username: nil), nil) }
        let exchange = Exchange(isPlain: request.mechanism == "PLAIN", log: request.log)
        if let response = request.initialResponse {
            let step = await exchange.continue(response)
            if case .challenge = step { return (step, exchange) }
            return (step, nil)
        }
        return (.challenge(exchange.isPlain ? "" : "VXNlcm5hbWU6"), exchange)
    }

    private final class Exchange: AuthenticationExchange {
        let isPlain: Bool
        private let log: AuthenticationLog
        private var username: String?

        init(isPlain: Bool, log: AuthenticationLog) {
            self.isPlain = isPlain
            self.log = log
        }

        func `continue`(_ response: String) async -> AuthenticationStep {
            let text = Data(base64Encoded: response).map { String(decoding: $0, as: UTF8.self) } ?? ""
            if isPlain {
                let parts = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
                return parts.count == 3 ? verdict(parts[1], parts[2]) : .rejected(reason: "bad protocol / cancel", username: nil)
            }
            if let username { return verdict(username, text) }
            username = text
            return .challenge("UGFzc3dvcmQ6")
        }

        func cancel() {}

        private func verdict(_ name: String, _ password: String) -> AuthenticationStep {
            if (name, password) == ("alice", "wonderland") { return .success(username: "alice@mx.test.example") }
            log.warning("SASL authentication failure: Password verification failed")
            return .rejected(reason: "authentication failure", username: "\(name)@mx.test.example")
        }
    }
}
