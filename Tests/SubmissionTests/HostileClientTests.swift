import HandOff
import NIOCore
import PosternTesting
import SMTPCore
import Submission
import Testing

/// Clients that are broken, slow, greedy or gone, and a queue that fails.
@Suite struct HostileClientTests {
    /// A session up to the 354 of DATA.
    static func untilData(_ server: SessionServer) async throws -> DialogueConnection {
        let client = try await DialogueConnection.connect(port: server.port)
        _ = try await client.reply()
        _ = try await client.command("HELO h")
        _ = try await client.command("MAIL FROM:<a@b.example>")
        _ = try await client.command("RCPT TO:<c@d.example>")
        #expect(try await client.command("DATA").hasPrefix("354 "))
        return client
    }

    @Test(arguments: [5000, 10_000])
    func manyRecipients(_ limit: Int) async throws {
        let settings = ["smtpd_recipient_limit": "\(limit)", "smtpd_recipient_overshoot_limit": "20000"]
        try await SessionServer.run(settings) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            _ = try await client.command("EHLO h")
            _ = try await client.command("MAIL FROM:<a@b.example>")
            let commands = (0..<10_000).map { "RCPT TO:<r\($0)@d.example>\r\n" }.joined()
            async let sent: Void = client.send(commands)
            var accepted = 0
            for _ in 0..<10_000 {
                let line = try await client.line()
                if line == "250 2.1.5 Ok" { accepted += 1 } else { #expect(line == "452 4.5.3 Error: too many recipients") }
            }
            try await sent
            #expect(accepted == limit)
            _ = try await client.command("DATA")
            #expect(try await client.command("x\r\n.").hasPrefix("250 2.0.0 Ok: queued as "))
            let message = try #require(server.queue.messages.first)
            #expect(message.envelope.recipients.count == limit)
            #expect(message.content.contains("with ESMTP id \(message.id);\r\n\t"))
        }
    }

    /// Each has another ORCPT, so that none is a duplicate: the envelope would outgrow what the queue takes, and the process.
    @Test func anAliasOfManyMembersNamedManyTimes() async throws {
        let members = (0..<900).map { "m\($0)@d.example" }.joined(separator: " ")
        let settings = ["virtual_alias_maps": "inline:{ {all@v.example=\(members)} }", "virtual_alias_domains": "v.example"]
        try await SessionServer.run(settings) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            _ = try await client.command("EHLO h")
            _ = try await client.command("MAIL FROM:<a@b.example>")
            var accepted = 0
            for number in 0..<12 {
                try await client.send("RCPT TO:<all@v.example> ORCPT=x;\(number)\(String(repeating: "y", count: 1900))\r\n")
                let line = try await client.line()
                if line == "250 2.1.5 Ok" { accepted += 1 } else { #expect(line == "452 4.5.3 Error: too many recipients") }
            }
            #expect((8..<12).contains(accepted))
            _ = try await client.command("DATA")
            #expect(try await client.command("x\r\n.").hasPrefix("250 2.0.0 Ok: queued as "))
            let envelope = try #require(server.queue.messages.first?.envelope)
            #expect(envelope.recipients.count == accepted * 900)
            #expect(envelope.recipients.reduce(0) { $0 + $1.encodedLength } <= HandOffFrame.recipientsLimit)
        }
    }

    @Test func aMegabyteCommandIsCutOff() async throws {
        try await SessionServer.run { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send([UInt8](repeating: UInt8(ascii: "x"), count: 1_000_000))
            #expect(try await client.line() == "500 5.5.2 mx.test.example Error: command too long")
            #expect(try await client.line() == nil)
        }
    }

    @Test func largeMessagesTravelInPieces() async throws {
        try await SessionServer.run { server in
            let client = try await Self.untilData(server)
            let line = String(repeating: "x", count: 1_000_000)
            let lines = String(repeating: String(repeating: "y", count: 70) + "\r\n", count: 40_000)
            #expect(try await client.command("Subject: big\r\n\r\n\(line)\r\n\(lines).").hasPrefix("250 2.0.0 Ok: queued as "))
            let message = try #require(server.queue.messages.first)
            #expect(message.content.hasSuffix("\r\n\r\n\(line)\r\n\(lines)"))
            #expect(server.queue.largestWrite < 1_000_000)
        }
    }

    @Test func aClientThatFloodsWithoutReadingStopsOnlyItself() async throws {
        try await SessionServer.run { server in
            let greedy = try await DialogueConnection.connect(port: server.port)
            _ = try await greedy.reply()
            try await greedy.channel.setOption(.autoRead, value: false).get()
            let noops = String(repeating: "VRFY a@b.example\r\n", count: 400_000)
            // Never completes: the server stops reading from a client that does not take its replies.
            let flood: EventLoopFuture<Void> = greedy.channel.writeAndFlush(ByteBuffer(string: noops))
            for _ in 0..<20 {
                let client = try await DialogueConnection.connect(port: server.port)
                _ = try await client.reply()
                #expect(try await client.command("HELO h") == "250 mx.test.example")
                await client.close()
            }
            await greedy.close()
            _ = try? await flood.get()
        }
    }

    @Test func silenceEndsInATimeout() async throws {
        try await SessionServer.run(["smtpd_timeout": "3s"]) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            #expect(try await client.line() == "421 4.4.2 mx.test.example Error: timeout exceeded")
            #expect(try await client.line() == nil)
            #expect(await server.log.line(containing: "timeout after CONNECT from unknown[127.0.0.1]") != nil)
            let stalled = try await Self.untilData(server)
            try await stalled.send("Subject: x\r\n")
            #expect(try await stalled.line() == "421 4.4.2 mx.test.example Error: timeout exceeded")
            #expect(await server.log.line(containing: "timeout after DATA (12 bytes) from unknown[127.0.0.1]") != nil)
            #expect(server.queue.messages.isEmpty)
        }
    }

    @Test func mailIsQueuedForETRNOnlyIfTheQueueCanBeAsked() async throws {
        try await SessionServer.run(flushDomains: "x.example") { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            #expect(try await client.command("ETRN Sub.X.example") == "250 Queuing started")
            server.queue.takesFlushes = false
            #expect(try await client.command("ETRN x.example") == "458 Unable to queue messages")
            #expect(await server.log.line(containing: "ETRN x.example from unknown[127.0.0.1]: the queue role does not answer") != nil)
            #expect(server.queue.flushed == ["Sub.X.example"])
            await client.close()
        }
    }

    @Test func aClientThatVanishesInDATALeavesNothing() async throws {
        try await SessionServer.run { server in
            let client = try await Self.untilData(server)
            try await client.send("Subject: x\r\n\r\nhalf")
            await client.close()
            #expect(await server.log.line(matching: "*lost connection after DATA (*) from unknown[127.0.0.1]") != nil)
            #expect(
                await server.log.line(containing: "disconnect from unknown[127.0.0.1] helo=1 mail=1 rcpt=1 data=0/1 commands=3/4") != nil
            )
            #expect(server.queue.messages.isEmpty)
            #expect(server.queue.aborted == 1)
        }
    }

    @Test(arguments: [
        (HandOffFailure.writeError("disk"), "451 4.3.0 Error: queue file write error"),
        (.unavailable("gone"), "451 4.3.0 Error: queue file write error"),
        (.insufficientStorage, "452 4.3.1 Insufficient system storage"),
    ])
    func aFailingQueueNeverGets250(_ failure: HandOffFailure, _ expected: String) async throws {
        try await SessionServer.run { server in
            server.queue.failure = failure
            let client = try await Self.untilData(server)
            #expect(try await client.command("x\r\n.") == expected)
            server.queue.failure = nil
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
        }
    }

    @Test func shortStorageIsToldAtMAIL() async throws {
        try await SessionServer.run { server in
            server.queue.storageIsShort = true
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "452 4.3.1 Insufficient system storage")
            server.queue.storageIsShort = false
            #expect(try await client.command("MAIL FROM:<a@b.example>") == "250 2.1.0 Ok")
        }
    }

    @Test func tooManyConnections() async throws {
        let settings = ["smtpd_client_connection_count_limit": "1", "smtpd_client_event_limit_exceptions": ""]
        try await SessionServer.run(settings) { server in
            let first = try await DialogueConnection.connect(port: server.port)
            _ = try await first.reply()
            let second = try await DialogueConnection.connect(port: server.port)
            #expect(try await second.reply() == ["421 4.7.0 mx.test.example Error: too many connections from 127.0.0.1"])
            let warning = "warning: Connection concurrency limit exceeded: 2 from unknown[127.0.0.1] for service smtp"
            #expect(await server.log.line(containing: warning) != nil)
            #expect(try await first.command("QUIT") == "221 2.0.0 Bye")
        }
    }

    @Test func earlyTalkers() async throws {
        let names = HeldNames()
        try await SessionServer.run(["smtpd_forbid_unauth_pipelining": "yes", "smtpd_peername_lookup": "yes"], names: names) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            try await client.send("EHLO h\r\n")
            names.release()
            #expect(try await client.line() == "554 5.5.0 Error: SMTP protocol synchronization")
            #expect(
                await server.log.line(containing: "improper command pipelining after CONNECT from unknown[127.0.0.1]: EHLO h\\r\\n") != nil
            )
        }
    }

    @Test func stoppingEndsIdleSessionsAndFinishesMessages() async throws {
        let server = try await SessionServer()
        let idle = try await DialogueConnection.connect(port: server.port)
        _ = try await idle.reply()
        let busy = try await Self.untilData(server)
        try await busy.send("Subject: x\r\n")
        server.registry.shutDown()
        #expect(try await idle.line() == "421 4.3.2 mx.test.example Service shutting down and closing transmission channel")
        #expect(try await idle.line() == nil)
        #expect(try await busy.command("\r\n.").hasPrefix("250 2.0.0 Ok: queued as "))
        #expect(try await busy.line()?.hasPrefix("421 4.3.2") == true)
        try await server.stop()
        #expect(server.registry.count == 0)
        #expect(server.queue.messages.count == 1)
    }

    @Test func noiseNeverBringsTheServerDown() async throws {
        try await SessionServer.run(["smtpd_error_sleep_time": "0"]) { server in
            var generator = SystemRandomNumberGenerator()
            for round in 0..<50 {
                let client = try await DialogueConnection.connect(port: server.port)
                var bytes = (0..<2000).map { _ in UInt8.random(in: 0...255, using: &generator) }
                if round % 2 == 0 { bytes = Array("EHLO \u{0}\r\nMAIL FROM:<".utf8) + bytes }
                try? await client.send(bytes)
                await client.close()
            }
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            #expect(try await client.command("HELO h") == "250 mx.test.example")
        }
    }

    @Test func oneByteAtATime() async throws {
        try await SessionServer.run(["smtpd_forbid_unauth_pipelining": "no"]) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            let dialogue = "HELO h\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n"
            for byte in dialogue.utf8 { try await client.send([byte]) }
            for _ in 0..<3 { #expect(try await client.line()?.hasPrefix("250 ") == true) }
            #expect(try await client.command("DATA").hasPrefix("354"))
            for byte in "a\r\n..\r\n.\r\n".utf8 { try await client.send([byte]) }
            #expect(try await client.line()?.hasPrefix("250 2.0.0") == true)
            #expect(server.queue.messages.first?.content.hasSuffix("\r\n\r\na\r\n.\r\n") == true)
        }
    }

    @Test func aClientThatClosesItsSideStillGetsItsReplies() async throws {
        try await SessionServer.run { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            try await client.send("EHLO h\r\n")
            _ = try await client.reply()
            try await client.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n")
            for _ in 0..<3 { _ = try await client.line() }
            try await client.send("x\r\n.\r\n")
            try await client.channel.close(mode: .output).get()
            #expect(try await client.line()?.hasPrefix("250 2.0.0 Ok: queued as ") == true)
            #expect(try await client.line() == nil)
        }
    }
}
