import NIOCore
import TLS

/// Puts the handlers of a client connection in place, on its loop.
struct HandlerFactory: Sendable {
    /// nil for a connection that begins in the clear.
    let tls: ClientTLSSettings?
    let host: String

    func install(on channel: any Channel) throws {
        if tls != nil { try installTLS(on: channel) }
        try channel.pipeline.syncOperations.addHandler(ReplyFeeder(loop: channel.eventLoop))
    }

    /// At the head of the pipeline: whatever is written from now on is encrypted.
    func installTLS(on channel: any Channel) throws {
        guard let tls, let context = tls.context else { return }
        let target = TLSClientTarget(serverName: tls.serverName)
        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: context, role: .client(target)), position: .first)
    }
}

/// The line about an established session, as `smtp_tls_loglevel = 1` prints it.
enum TLSLog {
    static func established(_ facts: TLSFacts, with endpoint: Endpoint) -> String {
        let trust = facts.trustClass
        return "\(trust) TLS connection established to \(endpoint.labelWithPort): \(facts.summary)"
    }
}
