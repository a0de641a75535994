import Authentication
import MailLog
import Restrictions
import SMTPCore
import Tables

extension Session {
    /// HELO and EHLO (RFC 5321 section 4.1.1.1).
    func helo(_ command: CommandLine, extended: Bool) async -> Outcome {
        let verb = extended ? "EHLO" : "HELO"
        guard command.count > 1 else { return .reply(Reply(501, nil, "Syntax: \(verb) hostname")) }
        let name = (1..<command.count).map { command.text($0) }.joined(separator: " ")
        let previous = facts.heloName
        // The lists and their log lines see the name as it was written.
        facts.heloName = String(String.UnicodeScalarView(name.unicodeScalars.map { $0.isDisruptive ? "?" : $0 }))
        let decision = await rejection(at: .helo, state: verb)
        if let reply = decision.rejection {
            facts.heloName = previous
            return .reply(reply)
        }
        facts.heloName = Self.harmless(name)
        endTransaction()
        forwarded = nil
        // HELO does not take back what EHLO has said, nor does STARTTLS, as in Postfix.
        isExtended = isExtended || extended
        pendingDeferral = pendingDeferral ?? decision.pendingDeferral
        if let reply = await settleHiddenKeywords(verb, extended: extended) { return .reply(reply) }
        guard extended else { return .reply(Reply(250, nil, policy.host)) }
        let offersAuth = await isAuthOffered
        return .reply(Reply(250, nil, lines: capabilities(offersAuth: offersAuth)))
    }

    /// `smtpd_discard_ehlo_keywords` or what the address maps say instead; the refusal when they cannot be asked.
    private func settleHiddenKeywords(_ verb: String, extended: Bool) async -> Reply? {
        switch await policy.discardedKeywords.keywords(of: "\(clientAddress)") {
        case .keywords(let keywords):
            hiddenKeywords = keywords
            if extended, let text = keywords.logText { log.info("discarding EHLO keywords: \(text)") }
            return nil
        case .failed(let reason):
            log.warning("\(reason) for \"\(clientAddress)\"")
            log.warning("don't know what EHLO features to announce to \(clientText)")
            return localDataError(at: verb)
        }
    }

    /// A table that could not be asked, where no answer would be safe.
    func localDataError(at state: String) -> Reply {
        let reply = Reply(421, .init(4, 3, 0), "\(policy.host) Server local data error", closes: true)
        log.info("\(queueName): reject: \(state) from \(clientText): \(reply.logText)")
        return reply
    }

    /// The EHLO lines, in Postfix's order. A keyword is offered only when session, queue and relay all honour it.
    @inline(never)
    private func capabilities(offersAuth: Bool) -> [String] {
        var lines = [policy.host]
        func offer(_ keyword: EHLOKeywords, _ text: String) {
            if !hiddenKeywords.contains(keyword) { lines.append(text) }
        }
        offer(.pipelining, "PIPELINING")
        offer(.size, policy.limits.messageSize > 0 ? "SIZE \(policy.limits.messageSize)" : "SIZE")
        if !policy.disableVRFY { offer(.vrfy, "VRFY") }
        offer(.etrn, "ETRN")
        if policy.tls.level != .none, tls == nil { offer(.startTLS, "STARTTLS") }
        if offersAuth {
            let mechanisms = service.authenticator?.mechanisms(tlsActive: tls != nil) ?? []
            if !mechanisms.isEmpty {
                offer(.auth, "AUTH \(mechanisms.joined(separator: " "))")
                if policy.sasl.sendsLegacyLine { offer(.auth, "AUTH=\(mechanisms.joined(separator: " "))") }
            }
        }
        if isVERPAuthorized { offer(.verp, "XVERP") }
        if isXClientAuthorized { offer(.xclient, ClientAttributes.Verb.xclient.capability) }
        if isXForwardAuthorized { offer(.xforward, ClientAttributes.Verb.xforward.capability) }
        offer(.enhancedStatusCodes, "ENHANCEDSTATUSCODES")
        offer(.eightBitMIME, "8BITMIME")
        offer(.dsn, "DSN")
        if policy.checksUTF8 { offer(.smtpUTF8, "SMTPUTF8") }
        offer(.chunking, "CHUNKING")
        return lines
    }

    /// AUTH may be used now: it is on, TLS is active where it must be, and the keyword is not hidden.
    var isAuthActive: Bool {
        policy.sasl.isEnabled && service.authenticator != nil && (tls != nil || !policy.tls.authOnly)
            && !hiddenKeywords.contains(.auth)
    }

    private var isAuthOffered: Bool {
        get async {
            guard isAuthActive else { return false }
            return await policy.sasl.exceptions.contains(clientAddress, name: knownName) == .no
        }
    }

    /// The HELO name as log, headers and rules may see it.
    static func harmless(_ name: String) -> String {
        String(
            String.UnicodeScalarView(
                name.unicodeScalars.map { scalar in
                    switch scalar {
                    case " ", "<", ">", "(", ")", "\\", "\"", ";", "@": "?"
                    default: scalar.isDisruptive ? "?" : scalar
                    }
                }
            )
        )
    }
}
