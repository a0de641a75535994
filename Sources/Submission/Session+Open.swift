import MailLog
import NIOCore
import Notices
import Resolver
import Restrictions
import SMTPCore
import TLS
import Tables

extension Session {
    /// Everything before the first command: who is it, TLS in wrapper mode, limits, the client restrictions, the greeting.
    @inline(never)
    func open() async {
        while !feeder.isActive, !feeder.hasEnded { await feeder.wait(until: .distantFuture) }
        if service.registry.isTurnedAway(number) { return await refuseForWantOfRoom() }
        if policy.proxy.isExpected {
            guard await takeProxyHeader() else { return }
        }
        await identifyClient()
        log.info("connect from \(clientText)")
        if policy.tls.isWrapped {
            if isOverTLSSessionRate {
                log.warning("Refusing TLS service request from \(clientText) for service \(policy.serviceName)")
                isClosing = true
                return
            }
            guard await openTLS(lostAfter: "CONNECT"), !isClosing else { return }
        }
        await feelForEarlyTalker()
        if isClosing { return }
        if await isOverConnectionLimits() { return }
        await greet()
    }

    /// `smtpd_connection_limit`: said before anything is looked up or computed for the client.
    private func refuseForWantOfRoom() async {
        nameClient()
        log.info("connect from \(clientText)")
        log.warning("smtpd_connection_limit reached: turning \(clientText) away")
        // In wrapper mode a plain reply would be noise to the client.
        if policy.tls.isWrapped {
            isClosing = true
        } else {
            await send(Reply(421, .init(4, 3, 2), "\(policy.host) Error: too many connections"))
        }
    }

    private func identifyClient() async {
        if policy.peerNameLookup { facts.peerName = await service.names.peerName(of: clientAddress) }
        warnOfPeerName()
        nameClient()
        if policy.notices.recordsFromStart { transcript = SessionTranscript() }
        isXForwardAuthorized = await policy.trust.xforward.contains(clientAddress, name: knownName) == .yes
        await authorizeClient()
    }

    private func warnOfPeerName() {
        let peer = facts.peerName
        switch peer.status {
        case .malformed(let problem): log.warning(problem)
        case .forged(let reason):
            let detail = reason.isEmpty ? "" : ": \(reason)"
            log.warning("hostname \(peer.reverseName) does not resolve to address \(clientAddress)\(detail)")
        // Where the PTR record itself could not be had there is no name to warn of.
        case .temporaryFailure(let reason) where peer.reverseName != PeerName.unknown.reverseName:
            log.warning("hostname \(peer.reverseName) does not resolve to address \(clientAddress): \(reason)")
        case .verified, .none, .temporaryFailure: break
        }
    }

    /// `name[addr]`, as log lines and replies show the client.
    func nameClient() {
        clientText = "\(facts.peerName.name)[\(addressText)]" + (policy.clientPortLogging ? ":\(portText)" : "")
        facts.clientText = clientText
    }

    var addressText: String { facts.addressText }

    /// `unknown` after XCLIENT with `PORT=[UNAVAILABLE]`.
    private var portText: String { clientPort < 0 ? "unknown" : "\(clientPort)" }

    /// What this client is excused from, and trusted with.
    func authorizeClient() async {
        isXClientAuthorized = await policy.trust.xclient.contains(clientAddress, name: knownName) == .yes
        isVERPAuthorized = await policy.trust.verp.contains(clientAddress, name: knownName) == .yes
        // A proxy that speaks for many clients is no client itself.
        let isException = await policy.limits.exceptions.contains(clientAddress, name: knownName) == .yes
        isExemptFromLimits = isXClientAuthorized || isException
        let excluded = await policy.bareNewline.exclusions.contains(clientAddress, name: knownName) == .yes
        allowsBareNewline = policy.bareNewline.mode == .allow || excluded
    }

    /// The verified name, empty when there is none.
    var knownName: String { facts.peerName.status == .verified ? facts.peerName.name : "" }

    /// A client that does not wait for the greeting does not speak SMTP.
    func feelForEarlyTalker() async {
        guard feeder.input.readableBytes > 0 else { return }
        if startsWithTLSHello { return refuseTLSHello() }
        logImproperPipelining(after: lastState)
        if policy.pipelining.isForbidden { await refusePipelining() }
    }

    func isOverConnectionLimits() async -> Bool {
        guard !isExemptFromLimits else { return false }
        let limits = policy.limits
        // Counted both if either has a limit, as anvil(8) does, whose statistics tell of both.
        guard limits.connectionCount > 0 || limits.connectionRate > 0 else { return false }
        isCountedConnection = true
        let client = limits.network(of: clientAddress)
        let count = service.limits.connect(service: policy.serviceName, client: client)
        let rate = service.limits.count(.connection, service: policy.serviceName, client: client)
        if limits.connectionCount > 0, count > limits.connectionCount {
            await refuseConnection("Connection concurrency limit exceeded: \(count)")
            return true
        }
        if limits.connectionRate > 0, rate > limits.connectionRate {
            await refuseConnection("Connection rate limit exceeded: \(rate)")
            return true
        }
        return false
    }

    private func refuseConnection(_ reason: String) async {
        log.warning("\(reason) from \(clientText) for service \(policy.serviceName)")
        note(.policy)
        await send(Reply(421, .init(4, 7, 0), "\(policy.host) Error: too many connections from \(addressText)", closes: true))
    }

    /// Counts an event of this client; its number in the current window if that is over `limit`.
    func overRate(_ event: ClientLimits.Event, _ limit: Int) -> Int? {
        guard limit > 0, !isExemptFromLimits else { return nil }
        let count = service.limits.count(event, service: policy.serviceName, client: policy.limits.network(of: clientAddress))
        return count > limit ? count : nil
    }

    /// `smtpd_client_new_tls_session_rate_limit` has been exceeded already: a handshake would be work for nothing.
    var isOverTLSSessionRate: Bool {
        let limit = policy.limits.newTLSSessionRate
        guard limit > 0, !isExemptFromLimits else { return false }
        return service.limits.rate(of: .tlsSession, service: policy.serviceName, client: policy.limits.network(of: clientAddress)) > limit
    }

    func greet() async {
        if !policy.delayReject {
            let decision = await rejection(at: .connect, state: lastState)
            pendingDeferral = decision.pendingDeferral
            if let reply = decision.rejection {
                denial = reply
                await send(reply)
                return
            }
        }
        await send(Reply(220, nil, policy.banner))
    }
}
