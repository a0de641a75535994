import Authentication
import PosternTesting
import SMTPCore
import Testing

/// Knows one user; words its failures as libsasl2 does.
private struct ScriptedAuthenticator: Authenticator {
    var offered = ["PLAIN", "LOGIN"]

    func mechanisms(tlsActive: Bool) -> [String] { offered }

    func begin(_ request: AuthenticationRequest) async -> (step: AuthenticationStep, exchange: (any AuthenticationExchange)?) {
        switch (request.mechanism, request.initialResponse) {
        case ("PLAIN", "AGFsaWNlAHNlY3JldA=="): return (.success(username: "alice"), nil)
        case ("PLAIN", nil): return (.challenge(""), Exchange())
        case ("PLAIN", _):
            request.log.warning("SASL authentication failure: Password verification failed")
            return (.rejected(reason: "authentication failure", username: "alice"), nil)
        case ("LOGIN", nil): return (.challenge("VXNlcm5hbWU6"), Exchange())
        case ("SLOW", _): return (.unavailable(reason: "generic failure", username: nil), nil)
        default: return (.rejected(reason: "no mechanism available", username: nil), nil)
        }
    }

    private final class Exchange: AuthenticationExchange {
        var answers = 0

        func `continue`(_ response: String) async -> AuthenticationStep {
            answers += 1
            switch response {
            case "YWxpY2U=": return .challenge("UGFzc3dvcmQ6")
            case "c2VjcmV0", "AGFsaWNlAHNlY3JldA==": return .success(username: "alice")
            default: return .rejected(reason: "authentication failure", username: "alice")
            }
        }

        func cancel() {}
    }
}

@Suite struct AuthSessionTests {
    static let settings = ["smtpd_sasl_auth_enable": "yes", "smtpd_error_sleep_time": "0", "smtpd_sasl_authenticated_header": "yes"]

    /// What is shown of a client's lines never has the response of an AUTH in it.
    @Test(arguments: [
        ("too early", "HELO h\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", "improper command pipelining after HELO from *: AUTH PLAIN..."),
        (
            "too early, in two steps", "HELO h\r\nauth login\r\nYWxpY2U=\r\nc2VjcmV0\r\n",
            "improper command pipelining after HELO from *: auth login..."
        ),
        ("behind AUTH", "AUTH LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n", "improper command pipelining after AUTH from *: ..."),
        (
            "a long command", "AUTH PLAIN AGFsaWNlAHNlY3JldA==\(String(repeating: "c2VjcmV0", count: 300))\r\n",
            "*request longer than 2048: AUTH PLAIN......"
        ),
        (
            "a long response", "AUTH LOGIN\r\n\u{0}\(String(repeating: "c2VjcmV0", count: 2000))\r\n",
            "*request longer than 12288: ..."
        ),
    ])
    func secretsStayOutOfTheLog(_ example: (name: String, sent: String, logged: String)) async throws {
        try await SessionServer.run(Self.settings, authenticator: ScriptedAuthenticator()) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            // A NUL stands for the wait between a command and what answers its reply.
            for (index, part) in example.sent.split(separator: "\u{0}").enumerated() {
                if index > 0 { _ = try await client.line() }
                try await client.send(String(part))
            }
            #expect(await server.log.line(matching: example.logged.hasPrefix("*") ? example.logged : "*\(example.logged)") != nil)
            let lines = server.log.lines
            #expect(!lines.contains { $0.contains("c2VjcmV0") || $0.contains("AGFsaWNl") || $0.contains("YWxpY2U") }, "\(lines)")
        }
    }

    @Test func theWholeExchange() async throws {
        try await SessionServer.run(Self.settings, authenticator: ScriptedAuthenticator()) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO h\r\n")
            let capabilities = try await client.reply()
            #expect(capabilities.contains("250-AUTH PLAIN LOGIN"))
            #expect(!capabilities.contains("250-AUTH=PLAIN LOGIN"))
            #expect(try await client.command("AUTH") == "501 5.5.4 Syntax: AUTH mechanism")
            #expect(try await client.command("AUTH a b c") == "501 5.5.4 Syntax: AUTH mechanism")
            #expect(try await client.command("AUTH FOO") == "535 5.7.8 Error: authentication failed: no mechanism available")
            #expect(try await client.command("auth plain wrong") == "535 5.7.8 Error: authentication failed: authentication failure")
            #expect(try await client.command("AUTH SLOW") == "454 4.7.0 Temporary authentication failure: generic failure")
            #expect(try await client.command("AUTH LOGIN") == "334 VXNlcm5hbWU6")
            #expect(try await client.command("*") == "501 5.7.0 Authentication aborted")
            #expect(try await client.command("AUTH PLAIN") == "334 ")
            #expect(try await client.command(String(repeating: "x", count: 12_300)) == "500 5.5.6 SASL response limit exceeded")
            #expect(try await client.command("AUTH LOGIN") == "334 VXNlcm5hbWU6")
            #expect(try await client.command("YWxpY2U=") == "334 UGFzc3dvcmQ6")
            #expect(try await client.command("c2VjcmV0") == "235 2.7.0 Authentication successful")
            #expect(try await client.command("AUTH PLAIN") == "503 5.5.1 Error: already authenticated")
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
            #expect(try await client.command("AUTH PLAIN") == "503 5.5.1 Error: MAIL transaction in progress")
            #expect(try await client.command("RCPT TO:<c@d.example>") == "250 2.1.5 Ok")
            _ = try await client.command("DATA")
            #expect(try await client.command(".").hasPrefix("250 2.0.0 Ok: queued as "))
            let message = try #require(server.queue.messages.first)
            #expect(message.content.contains("with ESMTPA id"))
            #expect(message.content.contains("\r\n\t(Authenticated sender: alice)\r\n"))
            #expect(message.envelope.origin.saslUsername == "alice")
            #expect(await server.log.line(containing: "client=unknown[127.0.0.1], sasl_method=LOGIN, sasl_username=alice") != nil)
            let failure = "warning: unknown[127.0.0.1]: SASL plain authentication failed: authentication failure, sasl_username=alice"
            #expect(await server.log.line(containing: failure) != nil)
            #expect(await server.log.line(containing: "warning: SASL authentication failure: Password verification failed") != nil)
            #expect(
                await server.log.line(containing: "SASL FOO authentication failed: no mechanism available, sasl_username=(unavailable)")
                    != nil
            )
            #expect(!server.log.lines.contains { $0.contains("c2VjcmV0") || $0.contains("secret") })
        }
    }

    @Test func theLegacyLine() async throws {
        let settings = Self.settings.merging(["broken_sasl_auth_clients": "yes"]) { $1 }
        try await SessionServer.run(settings, authenticator: ScriptedAuthenticator()) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO h\r\n")
            let capabilities = try await client.reply()
            let index = try #require(capabilities.firstIndex(of: "250-AUTH PLAIN LOGIN"))
            #expect(capabilities[index + 1] == "250-AUTH=PLAIN LOGIN")
        }
    }

    @Test func authOnlyUnderTLS() async throws {
        let tls = try TestTLS()
        let settings = Self.settings.merging(["smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes"]) { $1 }
        try await SessionServer.run(settings, tls: tls.server, authenticator: ScriptedAuthenticator()) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO h\r\n")
            #expect(try await !client.reply().contains { $0.contains("AUTH") })
            #expect(try await client.command("AUTH PLAIN AGFsaWNlAHNlY3JldA==") == "503 5.5.1 Error: authentication not enabled")
            _ = try await client.command("STARTTLS")
            try await tls.start(on: client)
            try await client.send("EHLO h\r\n")
            #expect(try await client.reply().contains("250-AUTH PLAIN LOGIN"))
            #expect(try await client.command("AUTH PLAIN AGFsaWNlAHNlY3JldA==") == "235 2.7.0 Authentication successful")
            try await client.send("EHLO again\r\n")
            #expect(try await client.reply().contains("250-AUTH PLAIN LOGIN"))
        }
    }

    @Test func aClientThatGoesAwayInTheExchange() async throws {
        try await SessionServer.run(Self.settings, authenticator: ScriptedAuthenticator()) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            _ = try await client.command("EHLO h")
            try await client.send("AUTH LOGIN\r\n")
            _ = try await client.reply()
            await client.close()
            #expect(await server.log.line(containing: "lost connection after AUTH from unknown[127.0.0.1]") != nil)
            #expect(await server.log.line(containing: "disconnect from unknown[127.0.0.1] ehlo=1 auth=0/1 commands=1/2") != nil)
        }
    }
}
