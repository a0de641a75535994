import CSASL
import Glibc

/// The worker's end of the Dovecot auth protocol over libsasl2: a blocking loop on one descriptor, the whole job of an auth role's process.
///
/// It runs one step at a time but may have many exchanges open, each in a SASL connection of its own.
package enum CyrusWorker {
    /// `sasl_server_init`: reads smtpd.conf, loads the plug-ins. To be called once per process, while still root and outside a chroot.
    /// Returns the mechanisms without any security option applied. Throws ``SASLConfigurationError`` when there are none
    /// (`no SASL authentication mechanisms`) or the library refuses.
    @discardableResult
    package static func prepare(_ profile: CyrusProfile) throws(SASLConfigurationError) -> [AuthMechanism] {
        try CyrusServer.prepare(profile)
    }

    /// Serves requests until the other end closes; then the process is to exit. Blocks. Closes `descriptor`. ``prepare(_:)`` must have
    /// returned; this may come after dropping privileges and in a chroot.
    package static func run(descriptor: CInt, profile: CyrusProfile) {
        defer { _ = Glibc.close(descriptor) }
        var session = CyrusWorkerSession(profile: profile)
        var lines = AuthLineBuffer()
        var chunk = [UInt8](repeating: 0, count: 16_384)
        guard write(CyrusWorkerSession.handshake(CyrusServer.preparedMechanisms), to: descriptor) else { return }
        while true {
            let count = unsafe read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            lines.append(chunk[..<count])
            wipe(&chunk)
            do {
                while var line = try lines.next() {
                    defer { wipe(&line) }
                    guard let message = AuthClientMessage(line: line), let answer = session.handle(message) else { return }
                    if !answer.isEmpty, !write(answer, to: descriptor) { return }
                }
            } catch {
                return
            }
        }
    }

    /// Writes all; false when the other end is gone. No SIGPIPE: the process may have left it at its default.
    private static func write(_ text: String, to descriptor: CInt) -> Bool {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes[sent...].withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { return false }
            sent += count
        }
        return true
    }
}

/// The worker's side of one connection: what to answer to each line.
struct CyrusWorkerSession {
    private let profile: CyrusProfile
    private var exchanges: [UInt32: CyrusExchange] = [:]
    /// More than the client end ever opens.
    private static let maximumExchanges = 1000

    init(profile: CyrusProfile) { self.profile = profile }

    static func handshake(_ mechanisms: [AuthMechanism]) -> String {
        var generator = SystemRandomNumberGenerator()
        let cookie = String(generator.next(), radix: 16) + String(generator.next(), radix: 16)
        let messages: [AuthServerMessage] =
            [.version(major: AuthProtocol.majorVersion, minor: AuthProtocol.minorVersion)] + mechanisms.map { .mechanism($0) }
            + [.processID(Int(currentProcessID())), .connectionID(1), .cookie(cookie), .done]
        return messages.map(\.line).joined()
    }

    /// The answer's line, empty for none; nil when the other end does not speak the protocol.
    mutating func handle(_ message: AuthClientMessage) -> String? {
        switch message {
        case .version(let major, _): return major == AuthProtocol.majorVersion ? "" : nil
        case .processID, .unknown: return ""
        case .cancel(let id):
            exchanges[id] = nil
            return ""
        case .auth(let id, let mechanism, let parameters, let response):
            guard exchanges[id] == nil else { return nil }
            guard exchanges.count < Self.maximumExchanges else {
                return AuthServerMessage.fail(id: id, AuthParameters([("reason", "too many exchanges"), ("temp", nil)])).line
            }
            let exchange = CyrusExchange(profile: profile, parameters: parameters)
            exchanges[id] = exchange
            return answer(id, exchange.start(mechanism: mechanism, response: response))
        case .response(let id, let data):
            guard let exchange = exchanges[id] else {
                return AuthServerMessage.fail(id: id, AuthParameters([("reason", "no such exchange"), ("temp", nil)])).line
            }
            return answer(id, exchange.step(response: data))
        }
    }

    private mutating func answer(_ id: UInt32, _ result: CyrusExchange.Result) -> String {
        let log = result.log.map { ("x-log", Optional($0)) }
        switch result.step {
        case .challenge(let data): return AuthServerMessage.challenge(id: id, data: data, AuthParameters(log)).line
        case .success(let username):
            exchanges[id] = nil
            return AuthServerMessage.ok(id: id, AuthParameters([("user", username)] + log)).line
        case .rejected(let reason, let username):
            exchanges[id] = nil
            let user = username.map { [("user", Optional($0))] } ?? []
            return AuthServerMessage.fail(id: id, AuthParameters(user + [("reason", reason)] + log)).line
        case .unavailable(let reason, let username):
            exchanges[id] = nil
            let user = username.map { [("user", Optional($0))] } ?? []
            return AuthServerMessage.fail(id: id, AuthParameters(user + [("reason", reason), ("temp", nil)] + log)).line
        }
    }
}
