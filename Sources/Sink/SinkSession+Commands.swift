internal import NIOCore
internal import SMTPCore
internal import TLS

extension SinkSession {
    func hello(_ command: SinkCommandLine) {
        guard configuration.isLMTP == (command.verb == "LHLO") else {
            return send(500, EnhancedStatusCode(5, 5, 1), "Error: this is \(configuration.isLMTP ? "LMTP" : "SMTP")")
        }
        guard !command.argument.isEmpty else { return send(501, nil, "Syntax: \(command.verb) hostname") }
        if command.verb != "HELO", fails(at: .ehlo) { return }
        reset()
        heloName = command.argument
        guard command.verb != "HELO" else {
            protocolName = "SMTP"
            return send(250, nil, configuration.hostName)
        }
        protocolName = configuration.isLMTP ? "LMTP" : "ESMTP"
        var lines = [configuration.hostName]
        if configuration.offersPipelining { lines.append("PIPELINING") }
        lines.append("SIZE \(configuration.sizeLimit)")
        if configuration.tls != nil, !configuration.isTLSWrapper, tlsVersion == nil { lines.append("STARTTLS") }
        if configuration.credential != nil { lines.append("AUTH PLAIN") }
        lines += ["8BITMIME", "ENHANCEDSTATUSCODES"]
        send(Reply(250, nil, lines: lines))
    }

    func startTLS() {
        guard let tls = configuration.tls, !configuration.isTLSWrapper, tlsVersion == nil else {
            return send(503, EnhancedStatusCode(5, 5, 1), "Error: TLS is not available here")
        }
        guard !fails(at: .starttls), let context else { return }
        // What the client has sent behind STARTTLS was not protected: it is dropped, the reply goes out in clear, and TLS begins.
        discardInput()
        send(220, EnhancedStatusCode(2, 0, 0), "Ready to start TLS")
        flush()
        reset()
        heloName = nil
        login = nil
        do {
            try context.pipeline.syncOperations.addHandler(TLSHandler(context: tls, role: .server), position: .first)
        } catch {
            close()
        }
    }

    func authenticate(_ argument: String) {
        guard configuration.credential != nil, login == nil, heloName != nil else {
            return send(503, EnhancedStatusCode(5, 5, 1), "Error: authentication not enabled here, or done already")
        }
        guard !fails(at: .auth) else { return }
        let words = argument.split(separator: " ")
        guard words.first?.uppercased() == "PLAIN", words.count <= 2 else {
            return send(535, EnhancedStatusCode(5, 7, 8), "Error: authentication failed: no such mechanism")
        }
        guard words.count == 2 else {
            phase = .authentication
            return send(334, nil, "")
        }
        finishAuthentication(String(words[1]))
    }

    func finishAuthentication(_ response: String) {
        phase = .command
        let parts = Base64.decode(response)?.split(separator: 0, omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard let parts, parts.count == 3, let expected = configuration.credential, parts[1] == expected.user, parts[2] == expected.password
        else { return send(535, EnhancedStatusCode(5, 7, 8), "Error: authentication failed") }
        login = parts[1]
        send(235, EnhancedStatusCode(2, 7, 0), "Authentication successful")
    }

    func mail(_ argument: String) {
        guard heloName != nil else { return send(503, EnhancedStatusCode(5, 5, 1), "Error: send HELO/EHLO first") }
        guard sender == nil else { return send(503, EnhancedStatusCode(5, 5, 1), "Error: nested MAIL command") }
        if configuration.requiresTLS, tlsVersion == nil {
            return send(530, EnhancedStatusCode(5, 7, 0), "Must issue a STARTTLS command first")
        }
        if configuration.credential != nil, login == nil {
            return send(530, EnhancedStatusCode(5, 7, 0), "Authentication required")
        }
        guard !fails(at: .mail) else { return }
        guard let path = SinkCommandLine.path(argument, after: "FROM:") else {
            return send(501, EnhancedStatusCode(5, 5, 4), "Syntax: MAIL FROM:<address>")
        }
        if let size = path.value(of: "SIZE"), Int(size) ?? .max > configuration.sizeLimit {
            return send(552, EnhancedStatusCode(5, 3, 4), "Message size exceeds fixed limit")
        }
        sender = path
        send(250, EnhancedStatusCode(2, 1, 0), "Ok")
    }

    func recipient(_ argument: String) {
        guard sender != nil else { return send(503, EnhancedStatusCode(5, 5, 1), "Error: need MAIL command") }
        guard !fails(at: .rcpt) else { return }
        guard let path = SinkCommandLine.path(argument, after: "TO:"), !path.path.isEmpty else {
            return send(501, EnhancedStatusCode(5, 5, 4), "Syntax: RCPT TO:<address>")
        }
        recipients.append(path)
        send(250, EnhancedStatusCode(2, 1, 5), "Ok")
    }

    func data() {
        guard sender != nil else { return send(503, EnhancedStatusCode(5, 5, 1), "Error: need RCPT command") }
        guard !recipients.isEmpty else { return send(554, EnhancedStatusCode(5, 5, 1), "Error: no valid recipients") }
        guard !fails(at: .data) else { return }
        phase = .content
        decoder = ContentDecoder()
        send(354, nil, "End data with <CR><LF>.<CR><LF>")
    }
}
