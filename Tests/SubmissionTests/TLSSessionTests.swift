import NIOCore
import PosternTesting
import Testing

@Suite struct TLSSessionTests {
    static let settings = ["smtpd_tls_security_level": "may", "smtpd_tls_loglevel": "1", "smtpd_tls_received_header": "yes"]

    @Test func plaintextBehindSTARTTLSIsDiscarded() async throws {
        let tls = try TestTLS()
        try await SessionServer.run(Self.settings, tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO h\r\n")
            #expect(try await client.reply().contains("250-STARTTLS"))
            // Injected by someone in the middle: must be neither answered nor remembered.
            try await client.send("STARTTLS\r\nMAIL FROM:<injected@x.example>\r\nRCPT TO:<victim@x.example>\r\n")
            #expect(try await client.reply() == ["220 2.0.0 Ready to start TLS"])
            try await tls.start(on: client)
            #expect(try await client.command("RCPT TO:<a@b.example>") == "503 5.5.1 Error: need MAIL command")
            try await client.send("EHLO h\r\n")
            let capabilities = try await client.reply()
            #expect(!capabilities.contains("250-STARTTLS"))
            #expect(try await client.command("STARTTLS") == "554 5.5.1 Error: TLS already active")
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
            #expect(try await client.command("RCPT TO:<c@d.example>") == "250 2.1.5 Ok")
            _ = try await client.command("DATA")
            #expect(try await client.command("Subject: x\r\n\r\n.").hasPrefix("250 2.0.0 Ok: queued as "))
            #expect(try await client.command("QUIT") == "221 2.0.0 Bye")
            #expect(try await client.line() == nil)
            let message = try #require(server.queue.messages.first)
            #expect(message.content.contains("with ESMTPS id"))
            #expect(message.content.contains("\r\n\t(using TLSv1.3 with cipher TLS_"))
            #expect(message.content.contains("\r\n\t(No client certificate requested)\r\n"))
            let established = "*: Anonymous TLS connection established from unknown[127.0.0.1]: TLSv1.3 with cipher *"
            #expect(await server.log.line(matching: established) != nil)
            let counts = "ehlo=2 starttls=1/2 mail=1 rcpt=1/2 data=1 quit=1 commands=7/9"
            #expect(await server.log.line(containing: "disconnect from unknown[127.0.0.1] \(counts)") != nil)
        }
    }

    @Test func wrapperModeSpeaksTLSFromTheFirstByte() async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_wrappermode": "yes"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await tls.start(on: client)
            #expect(try await client.reply() == ["220 mx.test.example ESMTP Postfix"])
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
        }
    }

    @Test func encryptRefusesAlmostAllBeforeTLS() async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_security_level": "encrypt", "smtpd_error_sleep_time": "0"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            for command in ["MAIL FROM:<a@b>", "RSET", "AUTH PLAIN", "VRFY a", "DATA", "RCPT TO:<a@b>"] {
                #expect(try await client.command(command) == "530 5.7.0 Must issue a STARTTLS command first")
            }
            #expect(try await client.command("NOOP") == "250 2.0.0 Ok")
            #expect(try await client.command("HELO h") == "250 mx.test.example")
            #expect(try await client.command("STARTTLS now") == "501 5.5.4 Syntax: STARTTLS")
        }
    }

    @Test func withoutContextSTARTTLSIsRefusedForNow() async throws {
        try await SessionServer.run(Self.settings) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            #expect(try await client.command("STARTTLS") == "454 4.7.0 TLS not available due to local problem")
        }
    }

    @Test(arguments: ["EHLO client.example\r\n", "\u{16}\u{3}\u{1}\u{0}\u{5}hello", "GET / HTTP/1.0\r\n\r\n"])
    func failedHandshakesAreLogged(_ noise: String) async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_wrappermode": "yes"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try? await client.send(noise)
            await client.close()
            #expect(await server.log.line(containing: "SSL_accept error from unknown[127.0.0.1]") != nil)
            #expect(await server.log.line(containing: "lost connection after CONNECT from unknown[127.0.0.1]") != nil)
            #expect(await server.log.line(containing: "disconnect from unknown[127.0.0.1] commands=0/0") != nil)
        }
    }

    @Test func aHandshakeThatNeverComesTimesOut() async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_wrappermode": "yes", "smtpd_starttls_timeout": "1s"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            #expect(try await client.line() == nil)
            #expect(await server.log.line(containing: "SSL_accept error from unknown[127.0.0.1]: Connection timed out") != nil)
        }
    }
}
