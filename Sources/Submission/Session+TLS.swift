import MailLog
import NIOCore
import Restrictions
import SMTPCore
import TLS

extension Session {
    /// Starts TLS as the server and waits for the handshake. What the client sent in plaintext after STARTTLS has been discarded by then.
    /// - Returns: false when the session is over.
    func openTLS(lostAfter state: String) async -> Bool {
        guard beginHandshake() else { return false }
        let deadline = NIODeadline.now() + policy.tls.startTimeout
        while feeder.tlsEvent == nil, !feeder.hasEnded, NIODeadline.now() < deadline { await feeder.wait(until: deadline) }
        guard takeHandshake() else {
            handshakeFailed(state)
            return false
        }
        return await handshakeCompleted()
    }

    @inline(never)
    private func beginHandshake() -> Bool {
        guard let context = service.tls else {
            log.warning(
                "Wrapper-mode request dropped from \(clientText) for service \(policy.serviceName). TLS context initialization failed. "
                    + "For details see earlier warnings in your logs."
            )
            isLost = true
            isClosing = true
            return false
        }
        if policy.tls.logLevel > 1 { log.info("setting up TLS connection from \(clientText)") }
        // Behind a proxy the handshake may have come in one piece with the header; after STARTTLS nothing may have come.
        feeder.startTLS(TLSHandler(context: context, role: .server), keepsInput: policy.proxy.isExpected && policy.tls.isWrapped)
        return true
    }

    /// What was agreed, once the handshake is complete.
    @inline(never)
    private func takeHandshake() -> Bool {
        guard case .handshakeCompleted(let agreed)? = feeder.tlsEvent else { return false }
        feeder.tlsEvent = nil
        tls = agreed
        facts.tlsActive = true
        if policy.tls.logLevel > 0 { logHandshake(agreed) }
        return true
    }

    /// A TLS handshake record stands where a command, or nothing yet, was due.
    var startsWithTLSHello: Bool {
        // Asked before each line: no view, no copy. The third byte, the minor version, may be any.
        tls == nil && feeder.input.readableBytes >= 3 && feeder.input.getInteger(at: feeder.input.readerIndex) == UInt16(0x1603)
    }

    /// Nothing is sent: the client would take it for a broken TLS record.
    func refuseTLSHello() {
        let advice = policy.tls.level == .none ? "TLS is not offered here" : "it should use STARTTLS here"
        log.warning("\(clientText) sent a TLS handshake where plaintext SMTP was expected; \(advice)")
        feeder.input = ByteBuffer()
        isClosing = true
    }

    private func handshakeCompleted() async -> Bool {
        if let refusal = refusalOverTLSRate() {
            await send(refusal)
            return false
        }
        // The handshake itself has succeeded, and is counted so.
        if let refusal = refusalOfCertificate() { await send(refusal) }
        return true
    }

    private func logHandshake(_ agreed: TLSFacts) {
        let kind = !agreed.peerCertificatePresent ? "Anonymous" : agreed.peerCertificateTrusted ? "Trusted" : "Untrusted"
        let target = agreed.serverNameIndication.isEmpty ? "" : " to \(agreed.serverNameIndication)"
        log.info("\(kind) TLS connection established from \(clientText)\(target): \(agreed.summary)")
    }

    @inline(never)
    private func refusalOverTLSRate() -> Reply? {
        guard tls?.isResumed == false, let count = overRate(.tlsSession, policy.limits.newTLSSessionRate) else { return nil }
        log.warning("New TLS session rate limit exceeded: \(count) from \(clientText) for service \(policy.serviceName)")
        return Reply(421, .init(4, 7, 0), "\(policy.host) Error: too many new TLS sessions from \(clientText)", closes: true)
    }

    @inline(never)
    private func refusalOfCertificate() -> Reply? {
        guard policy.tls.requiresClientCertificate, let agreed = tls, !(agreed.peerCertificatePresent && agreed.peerCertificateTrusted)
        else { return nil }
        let reason = agreed.peerCertificatePresent ? "Client certificate not trusted" : "No client certificate presented"
        log.info("NOQUEUE: abort: TLS from \(clientText): \(reason)")
        return Reply(421, .init(4, 7, 1), "\(policy.host) Error: \(reason)", closes: true)
    }

    @inline(never)
    private func handshakeFailed(_ state: String) {
        var reason = "lost connection"
        var details: [String] = []
        switch feeder.tlsEvent {
        case .handshakeFailed(let text, let errors): (reason, details) = (text, errors)
        default: if !feeder.hasEnded { reason = "Connection timed out" }
        }
        log.info("SSL_accept error from \(clientText): \(reason)")
        for detail in details { log.warning("TLS library problem: \(detail)") }
        if let beginning = feeder.plaintextInsteadOfTLS {
            log.warning(
                "\(clientText) sent plaintext (\"\(beginning)\") where TLS was expected; it should use TLS from the first byte here"
            )
        }
        lastState = state
        connectionLost()
    }
}
