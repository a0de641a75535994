import NIOCore
import PosternTesting
import SMTPCore
import Submission
import Testing

/// Who the client is: PROXY headers, XCLIENT, and clients that speak the wrong protocol.
@Suite struct PeerTests {
    static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    static func binary(_ command: UInt8, _ family: UInt8, _ body: [UInt8]) -> [UInt8] {
        signature + [0x20 | command, family, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    static let broken: [(String, String)] = [
        ("GET / HTTP/1.0\r\n", "unrecognized protocol header"),
        ("PROXY UNKNOWN\r\n", "bad or missing protocol type"),
        ("PROXY TCP4 300.0.2.7 198.51.100.1 1 2\r\n", "bad or missing client address"),
        ("PROXY TCP4 2001:db8::1 198.51.100.1 1 2\r\n", "bad or missing client address"),
        ("PROXY TCP4 192.0.2.7 x 1 2\r\n", "bad or missing server address"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n", "bad or missing client port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 99999\r\n", "bad or missing server port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", "bad or missing server port"),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", "missing protocol header terminator"),
        ("PROXY TCP4 " + String(repeating: "1", count: 100), "missing protocol header terminator"),
    ]

    @Test(arguments: broken)
    func brokenProxyHeader(_ text: String, _ reason: String) {
        #expect(ProxyHeader.parse(Array(text.utf8)) == .broken(reason))
    }

    @Test func textProxyHeader() throws {
        let line = "PROXY TCP4 192.0.2.7 198.51.100.1 4444 25\r\n"
        let expected = ProxyHeader.proxied(
            client: try #require(IPAddress("192.0.2.7")),
            clientPort: 4444,
            server: try #require(IPAddress("198.51.100.1")),
            serverPort: 25
        )
        #expect(ProxyHeader.parse(Array((line + "EHLO a\r\n").utf8)) == .complete(expected, length: line.utf8.count))
        for length in 0..<line.utf8.count { #expect(ProxyHeader.parse(Array(line.utf8.prefix(length))) == .incomplete) }
        #expect(ProxyHeader.parse(Array(line.utf8), acceptsIPv4: false) == .broken("bad or missing protocol type"))
        let six = Array("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".utf8)
        #expect(ProxyHeader.parse(six, acceptsIPv6: false) == .broken("bad or missing protocol type"))
        guard case .complete = ProxyHeader.parse(six) else { return #expect(Bool(false)) }
    }

    @Test func binaryProxyHeader() throws {
        let addresses: [UInt8] = [192, 0, 2, 9, 198, 51, 100, 1, 0x15, 0xB3, 0, 25]
        let header = Self.binary(1, 0x11, addresses + [0x04, 0, 2, 9, 9])
        let expected = ProxyHeader.proxied(
            client: try #require(IPAddress("192.0.2.9")),
            clientPort: 5555,
            server: try #require(IPAddress("198.51.100.1")),
            serverPort: 25
        )
        #expect(ProxyHeader.parse(header + [0x16]) == .complete(expected, length: header.count))
        for length in header.indices { #expect(ProxyHeader.parse(Array(header[..<length])) == .incomplete) }
        #expect(ProxyHeader.parse(Self.binary(0, 0, [])) == .complete(.local, length: 16))
        #expect(ProxyHeader.parse(Self.binary(1, 0x31, [])) == .broken("unsupported network protocol"))
        #expect(ProxyHeader.parse(Self.binary(1, 0x11, [1, 2])) == .broken("short address field"))
        #expect(ProxyHeader.parse(Self.binary(2, 0x11, addresses)) == .broken("bad command in proxy header"))
        #expect(ProxyHeader.parse(Self.binary(1, 0x11, Array(repeating: 0, count: 5000))) == .broken("short version 2 protocol header"))
        var six: [UInt8] = [0x20, 1, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7]
        six += six + [0, 1, 0, 2]
        guard case .complete(.proxied(let client, let port, _, let serverPort), _) = ProxyHeader.parse(Self.binary(1, 0x21, six)) else {
            return #expect(Bool(false))
        }
        #expect("\(client)" == "2001:db8::7" && port == 1 && serverPort == 2)
    }

    static let proxied = ["smtpd_upstream_proxy_protocol": "haproxy", "smtpd_client_port_logging": "yes"]

    @Test func theProxysClientIsTheClient() async throws {
        try await SessionServer.run(Self.proxied) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4444 25\r\n")
            #expect(try await client.reply() == ["220 mx.test.example ESMTP Postfix"])
            #expect(try await client.command("QUIT") == "221 2.0.0 Bye")
            #expect(await server.log.line(matching: "*: connect from unknown[192.0.2.7]:4444") != nil)
        }
    }

    @Test func withoutAProxyHeaderNobodyIsServed() async throws {
        try await SessionServer.run(Self.proxied) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await client.reply() == ["421 4.3.0 mx.test.example Server local error"])
            #expect(try await client.line() == nil)
            let warning = #"*: warning: haproxy read: unrecognized protocol header: GET / HTTP/1.0\r\n\r\n"#
            #expect(await server.log.line(matching: warning) != nil)
            #expect(await server.log.line(matching: "*: disconnect from unknown[127.0.0.1]:* commands=0/0") != nil)
        }
    }

    @Test func aSilentProxyIsNotWaitedForLong() async throws {
        try await SessionServer.run(Self.proxied.merging(["smtpd_upstream_proxy_timeout": "1s"]) { $1 }) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await client.send("PROXY TC")
            #expect(try await client.reply() == ["421 4.3.0 mx.test.example Server local error"])
            #expect(await server.log.line(matching: "*: warning: haproxy read: timeout error") != nil)
        }
    }

    /// Header and TLS hello in one piece, and apart.
    @Test(arguments: [true, false])
    func aProxyHeaderComesBeforeWrapperModeTLS(_ atOnce: Bool) async throws {
        let tls = try TestTLS()
        let settings = Self.proxied.merging(["smtpd_tls_wrappermode": "yes"]) { $1 }
        try await SessionServer.run(settings, tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            let header = Self.binary(1, 0x11, [192, 0, 2, 9, 198, 51, 100, 1, 0x15, 0xB3, 0, 25])
            // What is written first leaves first; without a flush in between it is one segment.
            if atOnce {
                client.channel.write(ByteBuffer(bytes: header), promise: nil)
            } else {
                try await client.send(header)
            }
            try await tls.start(on: client)
            #expect(try await client.reply() == ["220 mx.test.example ESMTP Postfix"])
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
            #expect(await server.log.line(matching: "*: connect from unknown[192.0.2.9]:5555") != nil)
        }
    }

    @Test func xclientIsOfferedToThoseWhoMay() async throws {
        let settings = ["smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_authorized_xforward_hosts": "127.0.0.1"]
        try await SessionServer.run(settings) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO a\r\n")
            let before = try await client.reply()
            #expect(before.contains("250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT"))
            #expect(before.contains("250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"))
            #expect(try await client.command("XCLIENT ADDR=192.0.2.1 NAME=[TEMPUNAVAIL]") == "220 mx.test.example ESMTP Postfix")
            try await client.send("EHLO a\r\n")
            let after = try await client.reply()
            #expect(!after.contains { $0.contains("XCLIENT") })
            #expect(after.contains { $0.contains("XFORWARD") })
        }
    }

    /// The one that was turned away is none of the next one's, though it may still be open at the client's end.
    @Test func aRefusedConnectionCountsNoLonger() async throws {
        let settings = ["smtpd_client_connection_count_limit": "1", "smtpd_client_event_limit_exceptions": ""]
        try await SessionServer.run(settings) { server in
            var clients: [DialogueConnection] = []
            for code in ["220", "421", "421"] {
                clients.append(try await DialogueConnection.connect(port: server.port))
                #expect(try await clients[clients.count - 1].reply().first?.hasPrefix(code) == true)
            }
            #expect(await server.log.line(containing: "Connection concurrency limit exceeded: 2 from") != nil)
            #expect(server.log.lines.allSatisfy { !$0.contains("Connection concurrency limit exceeded: 3") })
        }
    }

    @Test func limitsCountTheClientBehindXCLIENT() async throws {
        let settings = [
            "smtpd_authorized_xclient_hosts": "127.0.0.1", "smtpd_client_connection_count_limit": "1",
            "smtpd_client_event_limit_exceptions": "",
        ]
        try await SessionServer.run(settings) { server in
            var clients: [DialogueConnection] = []
            for _ in 0..<3 {
                clients.append(try await DialogueConnection.connect(port: server.port))
                // The proxy itself is not limited.
                #expect(try await clients[clients.count - 1].reply() == ["220 mx.test.example ESMTP Postfix"])
            }
            #expect(try await clients[0].command("XCLIENT ADDR=192.0.2.1") == "220 mx.test.example ESMTP Postfix")
            let refusal = "421 4.7.0 mx.test.example Error: too many connections from 192.0.2.1"
            #expect(try await clients[1].command("XCLIENT ADDR=192.0.2.1") == refusal)
            #expect(try await clients[1].line() == nil)
            #expect(try await clients[2].command("XCLIENT ADDR=192.0.2.2") == "220 mx.test.example ESMTP Postfix")
        }
    }

    /// One line says what the client did wrong; the bytes of its handshake are no text for a log.
    @Test(arguments: [true, false])
    func aTLSHelloOnAPlaintextPort(_ waitsForGreeting: Bool) async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_security_level": "may"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            if waitsForGreeting { _ = try await client.reply() }
            try await client.send([0x16, 0x03, 0x01, 0x00, 0x20] + [UInt8](repeating: 0x41, count: 32))
            while try await client.line() != nil {}
            let words = "sent a TLS handshake where plaintext SMTP was expected; it should use STARTTLS here"
            #expect(await server.log.line(matching: "*: warning: unknown[127.0.0.1] \(words)") != nil)
            _ = await server.log.line(containing: "disconnect from")
            #expect(!server.log.lines.contains { $0.contains("improper command pipelining") || $0.contains("non-SMTP command") })
        }
    }

    @Test(arguments: ["EHLO a\r\n", "GET / HTTP/1.0\r\n\r\n"])
    func plaintextOnAWrapperModePort(_ text: String) async throws {
        let tls = try TestTLS()
        try await SessionServer.run(["smtpd_tls_wrappermode": "yes"], tls: tls.server) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await client.send(text)
            while try await client.line() != nil {}
            _ = await server.log.line(containing: "disconnect from")
            #expect(server.log.lines.count { $0.contains("where TLS was expected; it should use TLS from the first byte here") } == 1)
        }
    }

    @Test func nearTheConnectionLimitTheStressValuesApply() async throws {
        let settings = ["smtpd_hard_error_limit": "${stress?{1}:{20}}", "smtpd_connection_limit": "10"]
        try await SessionServer.run(settings) { server in
            var clients: [DialogueConnection] = []
            for _ in 0..<7 {
                clients.append(try await DialogueConnection.connect(port: server.port))
                _ = try await clients[clients.count - 1].reply()
            }
            #expect(try await clients[6].command("FOO") == "500 5.5.2 Error: command not recognized")
            #expect(try await clients[6].command("NOOP") == "250 2.0.0 Ok")
            let eighth = try await DialogueConnection.connect(port: server.port)
            _ = try await eighth.reply()
            #expect(try await eighth.command("FOO") == "500 5.5.2 Error: command not recognized")
            #expect(try await eighth.line() == "421 4.7.0 mx.test.example Error: too many errors")
            #expect(await server.log.line(containing: "8 of 10 sessions (smtpd_connection_limit) are in use") != nil)
            for client in clients { await client.close() }
            for _ in 0..<500 where server.registry.count > 0 { try await Task.sleep(for: .milliseconds(10)) }
            let after = try await DialogueConnection.connect(port: server.port)
            _ = try await after.reply()
            #expect(try await after.command("FOO") == "500 5.5.2 Error: command not recognized")
            #expect(try await after.command("NOOP") == "250 2.0.0 Ok")
        }
    }

    static let slow = ["smtpd_timeout": "1s", "smtpd_per_request_deadline": "yes", "smtpd_min_data_rate": "500"]

    /// A chunk is content, too, and so are those after the first.
    @Test(arguments: [false, true]) func chunksMustKeepTheMinimumRate(_ isSecond: Bool) async throws {
        try await SessionServer.run(Self.slow) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            for command in ["EHLO h", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"] { _ = try await client.command(command) }
            if isSecond {
                let reply = try await client.command("BDAT 3\r\nx")
                #expect(reply == "250 2.0.0 Ok: 3 bytes")
            }
            try await client.send("BDAT 10000 LAST\r\n")
            let drip = Task {
                for _ in 0..<100 {
                    try? await client.send("x\r\n")
                    try? await Task.sleep(for: .milliseconds(200))
                }
            }
            let reply = try await client.line()
            drip.cancel()
            #expect(reply == "421 4.4.2 mx.test.example Error: timeout exceeded")
            #expect(await server.log.line(containing: "timeout after BDAT (") != nil)
            #expect(server.queue.messages.isEmpty)
        }
    }

    /// Who is fast enough may take longer than `smtpd_timeout` in all.
    @Test func chunksAtMoreThanTheMinimumRateAreTaken() async throws {
        try await SessionServer.run(Self.slow) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            for command in ["EHLO h", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"] { _ = try await client.command(command) }
            let piece = String(repeating: "y", count: 998) + "\r\n"
            try await client.send("BDAT 8000 LAST\r\n")
            for _ in 0..<8 {
                try await client.send(piece)
                try await Task.sleep(for: .milliseconds(250))
            }
            let reply = try await client.line()
            #expect(reply?.hasPrefix("250 2.0.0 Ok: 8000 bytes queued as ") == true)
        }
    }

    @Test func contentMustKeepTheMinimumRate() async throws {
        let settings = Self.slow
        try await SessionServer.run(settings) { server in
            let client = try await HostileClientTests.untilData(server)
            // Never silent for a second, but far below 500 bytes a second.
            let drip = Task {
                for _ in 0..<100 {
                    try? await client.send("x\r\n")
                    try? await Task.sleep(for: .milliseconds(200))
                }
            }
            #expect(try await client.line() == "421 4.4.2 mx.test.example Error: timeout exceeded")
            drip.cancel()
            #expect(await server.log.line(containing: "timeout after DATA (") != nil)
        }
    }
}
