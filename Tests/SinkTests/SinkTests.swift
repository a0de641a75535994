import Foundation
import NIOCore
import NIOPosix
import SMTPCore
import Synchronization
import Testing

@testable import Sink

@Suite struct SinkTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    /// Runs `body` with a client that has read the greeting (unless it is dropped), and ends both ends.
    private func dialogue(
        _ configuration: SinkConfiguration = SinkConfiguration(),
        consumer: SMTPSink.Consumer? = nil,
        body: (SMTPSink, inout SMTPClient) async throws -> Void
    ) async throws {
        let sink = try await SMTPSink.start(configuration, group: group, consumer: consumer)
        var client = try await SMTPClient(
            to: sink.port == 0 ? configuration.endpoint : .inet(host: "127.0.0.1", port: sink.port),
            group: group
        )
        do { try await body(sink, &client) } catch {
            try await sink.stop()
            throw error
        }
        try await client.close()
        try await sink.stop()
    }

    @Test func aMessage() async throws {
        try await dialogue { sink, client in
            #expect(await client.reply() == "220 sink.localhost ESMTP Postern sink")
            let replies = try await client.say(
                "EHLO me",
                "MAIL FROM:<a@b> SIZE=9",
                "RCPT TO:<c@d>",
                "DATA",
                "Subject: x\r\n\r\n..\r\n.",
                "QUIT"
            )
            #expect(
                replies == [
                    "250-sink.localhost|250-PIPELINING|250-SIZE 67108864|250-8BITMIME|250 ENHANCEDSTATUSCODES", "250 2.1.0 Ok",
                    "250 2.1.5 Ok",
                    "354 End data with <CR><LF>.<CR><LF>", "250 2.0.0 Ok: taken", "221 2.0.0 Bye",
                ]
            )
            #expect(await client.reply() == nil)
            let message = try #require(sink.messages.first)
            #expect(message.sender == SinkPath(path: "a@b", parameters: ["SIZE=9"]))
            #expect(message.recipients.map(\.path) == ["c@d"])
            #expect(String(decoding: message.content, as: UTF8.self) == "Subject: x\r\n\r\n.\r\n")
            #expect(message.heloName == "me")
            #expect(message.protocolName == "ESMTP")
            #expect(message.number == 1)
            #expect(sink.count == 1)
        }
    }

    @Test func everythingPipelinedByteByByte() async throws {
        try await dialogue { sink, client in
            let transaction = "MAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\na\r\n.b\r\n.\r\n"
            let whole = "EHLO me\r\n" + transaction + transaction + "QUIT\r\n"
            for byte in whole.utf8 { try await client.send(String(Unicode.Scalar(byte))) }
            var codes: [String] = []
            while let reply = await client.reply() { codes.append(String(reply.prefix(3))) }
            #expect(codes == ["220", "250", "250", "250", "354", "250", "250", "250", "354", "250", "221"])
            #expect(sink.messages.map { String(decoding: $0.content, as: UTF8.self) } == ["a\r\nb\r\n", "a\r\nb\r\n"])
        }
    }

    @Test func orderAndSyntax() async throws {
        try await dialogue { sink, client in
            _ = await client.reply()
            let replies = try await client.say(
                "MAIL FROM:<a@b>",
                "LHLO x",
                "EHLO",
                "EHLO me",
                "RCPT TO:<a@b>",
                "DATA",
                "MAIL a@b",
                "MAIL FROM:<a@b> SIZE=99999999999999999999",
                "MAIL FROM:<a@b>",
                "MAIL FROM:<a@b>",
                "RCPT TO:<>",
                "DATA",
                "NOOP",
                "RSET",
                "DATA",
                "STARTTLS",
                "AUTH PLAIN",
                "WHAT",
                "VRFY x"
            )
            let codes: [String] = replies.map { String(($0 ?? "").prefix(3)) }
            #expect(
                codes == [
                    "503", "500", "501", "250", "503", "503", "501", "552", "250", "503", "501", "554", "250", "250", "503", "503", "503",
                    "500",
                    "252",
                ]
            )
            try await client.send("NOOP\n")
            #expect(await client.reply() == "500 5.5.2 Error: bare <LF> received")
            #expect(await client.reply() == nil)
            #expect(sink.count == 0)
        }
    }

    @Test func anEndlessLineEndsTheConnection() async throws {
        try await dialogue { _, client in
            _ = await client.reply()
            try? await client.send(String(repeating: "x", count: 40_000))
            #expect(await client.reply() == "500 5.5.2 Error: command too long")
        }
    }

    @Test func tooLarge() async throws {
        var configuration = SinkConfiguration()
        configuration.sizeLimit = 1_000
        try await dialogue(configuration) { sink, client in
            _ = await client.reply()
            let big = String(repeating: "x", count: 5_000)
            let replies = try await client.say("EHLO me", "MAIL FROM:<>", "RCPT TO:<c@d>", "DATA", "\(big)\r\n.", "NOOP")
            #expect(replies.suffix(2) == ["552 5.3.4 Error: message file too big", "250 2.0.0 Ok"])
            #expect(sink.count == 0)
        }
    }

    @Test(arguments: [
        ("AUTH PLAIN AGJvYgBzZWNyZXQ=", "235"), ("AUTH PLAIN AGJvYgBzZWNyZXR4", "535"), ("AUTH PLAIN !", "535"), ("AUTH LOGIN", "535"),
        ("AUTH PLAIN\r\nAGJvYgBzZWNyZXQ=", "334"),
    ])
    func login(command: String, code: String) async throws {
        var configuration = SinkConfiguration()
        configuration.credential = SinkCredential(user: "bob", password: "secret")
        #expect(!"\(configuration)".contains("secret\""))
        try await dialogue(configuration) { _, client in
            _ = await client.reply()
            let hello = try await client.say("EHLO me", "MAIL FROM:<>")
            #expect(hello.first??.contains("|250-AUTH PLAIN|") == true)
            #expect(hello.last == "530 5.7.0 Authentication required")
            try await client.send(command + "\r\n")
            #expect(await client.reply()?.prefix(3) == code[...])
            if code == "334" { #expect(await client.reply() == "235 2.7.0 Authentication successful") }
            let isIn = code != "535"
            #expect(try await client.say("MAIL FROM:<>").first??.prefix(3) == (isIn ? "250" : "530"))
        }
    }

    @Test func lmtpOverAUnixSocket() async throws {
        var configuration = SinkConfiguration()
        let path = FileManager.default.temporaryDirectory.appending(path: "sink-\(UUID().uuidString.prefix(8))").path
        configuration.endpoint = .unix(path: path)
        configuration.isLMTP = true
        configuration.faults = [SinkFault("dot=550 5.2.1 Mailbox disabled:every 2")!]
        try await dialogue(configuration) { sink, client in
            #expect(await client.reply() == "220 sink.localhost LMTP Postern sink")
            let replies = try await client.say(
                "EHLO me",
                "LHLO me",
                "MAIL FROM:<a@b>",
                "RCPT TO:<1@d>",
                "RCPT TO:<2@d>",
                "RCPT TO:<3@d>",
                "DATA",
                "x\r\n."
            )
            #expect(replies.first??.prefix(3) == "500")
            #expect(replies.last == "250 2.0.0 <1@d> Ok: taken")
            #expect(await client.reply() == "550 5.2.1 Mailbox disabled")
            #expect(await client.reply() == "250 2.0.0 <3@d> Ok: taken")
            #expect(sink.messages.first?.recipients.map(\.path) == ["1@d", "3@d"])
        }
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The codes the client reads until the connection ends.
    @Test(arguments: [
        ("connect=554 no", ["554", "503", "503", "503", "503", "503", "503", "221"]),
        ("connect=421 no", ["421"]), ("connect=drop", []),
        ("ehlo=502", ["220", "502", "503", "503", "503", "500", "500", "221"]),
        ("ehlo=drop", ["220"]), ("mail=450", ["220", "250", "450", "503", "503", "500", "500", "221"]),
        ("mail=drop", ["220", "250"]), ("rcpt=550", ["220", "250", "250", "550", "554", "500", "500", "221"]),
        ("rcpt=421", ["220", "250", "250", "421"]), ("data=451", ["220", "250", "250", "250", "451", "500", "500", "221"]),
        ("data=drop", ["220", "250", "250", "250"]), ("body=drop", ["220", "250", "250", "250", "354"]),
        ("body=552", ["220", "250", "250", "250", "354", "552"]), ("dot=451", ["220", "250", "250", "250", "354", "451", "221"]),
        ("dot=drop", ["220", "250", "250", "250", "354"]), ("quit=drop", ["220", "250", "250", "250", "354", "250"]),
        ("rcpt=450:every 2", ["220", "250", "250", "250", "354", "250", "221"]),
        ("rcpt=450:first 1", ["220", "250", "250", "450", "554", "500", "500", "221"]),
    ])
    func faults(fault: String, codes: [String]) async throws {
        var configuration = SinkConfiguration()
        configuration.faults = [try #require(SinkFault(fault))]
        try await dialogue(configuration) { sink, client in
            var seen: [String] = []
            if let greeting = await client.reply() { seen.append(String(greeting.prefix(3))) }
            // The content is two commands where DATA was refused.
            for line in ["EHLO x\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@d>\r\n", "DATA\r\n", "x\r\n.\r\n", "QUIT\r\n"] {
                try? await client.send(line)
                let isContent = line.hasPrefix("x")
                for _ in 0..<(isContent && seen.last != "354" ? 2 : 1) {
                    if let reply = await client.reply() { seen.append(String(reply.prefix(3))) }
                }
            }
            #expect(seen == codes)
            // A message is taken exactly where the content was answered with 250.
            let isTaken = zip(codes, codes.dropFirst()).contains { $0 == "354" && $1 == "250" }
            #expect(sink.count == (isTaken ? 1 : 0))
        }
    }

    @Test(arguments: ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot"])
    func hangsUntilTheClientGivesUp(stage: String) async throws {
        var configuration = SinkConfiguration()
        configuration.faults = [try #require(SinkFault("\(stage)=hang"))]
        try await dialogue(configuration) { sink, client in
            try await client.send("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
            try await Task.sleep(for: .milliseconds(100))
            #expect(client.channel.isActive)
            #expect(sink.count == 0)
        }
    }

    @Test func aConsumerComesBeforeTheReplyAndMayFail() async throws {
        let seen = Mutex<[Int]>([])
        try await dialogue(consumer: { message in
            if message.body == "bad\r\n" { throw SinkConsole.Failure(description: "disk full") }
            seen.withLock { $0.append(message.number) }
        }) { sink, client in
            _ = await client.reply()
            let start = ["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"].joined(separator: "\r\n") + "\r\n"
            _ = try await client.say("EHLO me")
            try await client.send(start + "\r\ngood\r\n.\r\n" + start + "\r\nbad\r\n.\r\n" + start + "\r\ngood\r\n.\r\n")
            var codes: [String] = []
            for _ in 0..<12 { codes.append(String((await client.reply() ?? "").prefix(3))) }
            #expect(codes == ["250", "250", "354", "250", "250", "250", "354", "451", "250", "250", "354", "250"])
            #expect(seen.withLock { $0 } == [1, 2])
            #expect(sink.count == 2)
        }
    }

    @Test func countsEveryMessageOfManyConnections() async throws {
        let sink = try await SMTPSink.start(group: group)
        let endpoint = SinkEndpoint.inet(host: "127.0.0.1", port: sink.port)
        try await withThrowingTaskGroup(of: Int.self) { tasks in
            for connection in 0..<20 {
                tasks.addTask {
                    var client = try await SMTPClient(to: endpoint, group: MultiThreadedEventLoopGroup.singleton)
                    let one = "MAIL FROM:<\(connection)@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
                    try await client.send("EHLO x\r\n" + String(repeating: one, count: 50) + "QUIT\r\n")
                    var positive = 0
                    while let reply = await client.reply() { if reply == "250 2.0.0 Ok: taken" { positive += 1 } }
                    return positive
                }
            }
            var positive = 0
            for try await count in tasks { positive += count }
            #expect(positive == 1_000)
        }
        #expect(sink.count == 1_000)
        #expect(sink.messages.map(\.number) == Array(1...1_000))
        #expect(Set(sink.messages.map(\.sender.path)).count == 20)
        #expect(sink.connections == 20)
        #expect(await sink.hasMessages(1_000))
        #expect(await !sink.hasMessages(1_001, within: .milliseconds(20)))
        try await sink.stop()
    }

    @Test func storesFilesWithoutOverwriting() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "sink-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        #expect(try SinkConsole.firstFreeNumber(in: directory) == 1)
        let message = SinkMessage(
            number: 7,
            peer: "p",
            protocolName: "SMTP",
            heloName: "h",
            tlsVersion: nil,
            login: nil,
            sender: SinkPath(path: "", parameters: []),
            recipients: [SinkPath(path: "c@d", parameters: [])],
            content: Array("x\r\n".utf8)
        )
        try SinkConsole.store(message, number: 12, in: directory)
        #expect(throws: SinkConsole.Failure.self) { try SinkConsole.store(message, number: 12, in: directory) }
        #expect(try SinkConsole.firstFreeNumber(in: directory) == 13)
        let stored = try String(contentsOfFile: directory + "/00000012.eml", encoding: .utf8)
        #expect(stored == "X-Sink-Peer: p\r\nX-Sink-Helo: h\r\nX-Sink-Sender: <>\r\nX-Sink-Recipient: <c@d>\r\nx\r\n")
    }
}
