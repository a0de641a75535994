import MailLog
import Resolver
import Restrictions
import SMTPCore

extension Session {
    /// XCLIENT: a trusted proxy says for whom it speaks (`smtpd_authorized_xclient_hosts`). The session starts anew as that client's.
    @inline(never)
    func xclient(_ command: CommandLine) async -> Outcome {
        switch attributes(of: .xclient, command, isAuthorized: isXClientAuthorized) {
        case .refused(let reply): return .reply(reply)
        case .complete(let attributes):
            become(attributes)
            await authorizeClient()
            await feelForEarlyTalker()
            if !isClosing, await !isOverConnectionLimits() { await greet() }
            return Outcome(reply: nil, succeeded: true, isRestart: true)
        }
    }

    /// XFORWARD: where the next message came from, for the log only (`smtpd_authorized_xforward_hosts`).
    @inline(never)
    func xforward(_ command: CommandLine) async -> Outcome {
        switch attributes(of: .xforward, command, isAuthorized: isXForwardAuthorized) {
        case .refused(let reply): return .reply(reply)
        case .complete(let attributes):
            let origin = forwarded ?? ForwardedOrigin()
            origin.update(attributes)
            forwarded = origin
            return .reply(Self.ok)
        }
    }

    private func attributes(of verb: ClientAttributes.Verb, _ command: CommandLine, isAuthorized: Bool) -> ClientAttributes.Parsing {
        if transaction != nil { return .refused(Reply(503, .init(5, 5, 1), "Error: MAIL transaction in progress")) }
        if command.count > 1, !isAuthorized { return .refused(Reply(550, .init(5, 7, 0), "Error: insufficient authorization")) }
        return ClientAttributes.parse(
            verb,
            (1..<command.count).map { command[$0] },
            acceptsIPv4: policy.acceptsIPv4,
            acceptsIPv6: policy.acceptsIPv6
        )
    }

    /// Everything the session knew of its client but the real socket is replaced.
    private func become(_ attributes: ClientAttributes) {
        endTransaction()
        forwarded = nil
        denial = nil
        pendingDeferral = nil
        facts.peerName = Self.peerName(attributes, before: facts.peerName)
        if let address = attributes.address {
            clientAddress = address.value ?? .v4(0)
            facts.isAddressUnknown = address.value == nil
            facts.clientAddress = clientAddress
        }
        if let port = attributes.port { clientPort = port.value ?? -1 }
        if let address = attributes.serverAddress?.value { serverAddress = "\(address)" }
        facts.heloName = attributes.helo?.value
        isExtended = attributes.protocolName?.value == "ESMTP"
        facts.saslUsername = attributes.login?.value
        facts.saslMethod = attributes.login?.value == nil ? nil : "XCLIENT"
        nameClient()
    }

    private static func peerName(_ attributes: ClientAttributes, before: PeerName) -> PeerName {
        var peer = before
        switch attributes.reverseName {
        case .known(let name): peer.reverseName = name
        case .unavailable, .temporarilyUnavailable: peer.reverseName = "unknown"
        case nil: break
        }
        switch attributes.name {
        case .known(let name):
            (peer.name, peer.status) = (name, .verified)
            if attributes.reverseName == nil { peer.reverseName = name }
        case .unavailable:
            // A reverse name without a name is one that did not lead back.
            if attributes.reverseName == nil { peer.reverseName = "unknown" }
            (peer.name, peer.status) = ("unknown", peer.reverseName == "unknown" ? .none : .forged(""))
        case .temporarilyUnavailable: (peer.name, peer.status) = ("unknown", .temporaryFailure("XCLIENT"))
        case nil: break
        }
        return peer
    }
}

/// The client that a message came from before it passed a content filter, as XFORWARD tells it; for one message.
final class ForwardedOrigin {
    var name = "unknown"
    /// nil when only other things were said.
    var address: String?
    var port = "unknown"
    var helo = ""
    var protocolName = ""
    var ident = ""
    /// `SOURCE`: whether the message was written on this site; nil when not said.
    var isLocal: Bool?
    private var isKnown = false

    func update(_ attributes: ClientAttributes) {
        if let value = attributes.name {
            name = value.value ?? "unknown"
            isKnown = true
        }
        if let value = attributes.address {
            address = value.value.map { "\($0)" }
            isKnown = true
        }
        if let value = attributes.port {
            port = value.value.map { "\($0)" } ?? "unknown"
            isKnown = true
        }
        if let value = attributes.helo {
            helo = value.value ?? ""
            isKnown = true
        }
        if let value = attributes.protocolName {
            protocolName = value.value ?? ""
            isKnown = true
        }
        if let value = attributes.ident { ident = value.value ?? "" }
        if let value = attributes.isLocalSource { isLocal = value }
    }

    /// `, orig_queue_id=ABC, orig_client=name[addr]` of the client= line.
    /// - Parameter withPort: `smtpd_client_port_logging`.
    func logText(withPort: Bool) -> String {
        let queue = ident.isEmpty ? "" : ", orig_queue_id=\(ident)"
        guard isKnown else { return queue }
        return queue + ", orig_client=\(name)" + (address.map { "[\($0)]" + (withPort ? ":\(port)" : "") } ?? "")
    }
}
