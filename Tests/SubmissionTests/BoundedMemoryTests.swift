import Cleanup
import NIOCore
import NIOEmbedded
import PosternTesting
import SMTPCore
import Testing

@testable import Submission

/// What one client can make us hold does not grow with what it has sent.
@Suite struct BoundedMemoryTests {
    /// A client that always leaves half a line: the buffer is never empty when more arrives.
    @Test func inputThatIsAlwaysCutWithinALine() throws {
        let feeder = SessionFeeder()
        let channel = EmbeddedChannel(handler: feeder)
        channel.pipeline.fireChannelRead(ByteBuffer(string: "NO"))
        for _ in 0..<5000 {
            channel.pipeline.fireChannelRead(ByteBuffer(string: "OP\r\n" + String(repeating: "NOOP\r\n", count: 20) + "NO"))
            feeder.input.moveReaderIndex(forwardBy: feeder.input.readableBytes - 2)
        }
        #expect(feeder.input.capacity < 64 * 1024)
        #expect(String(buffer: feeder.input) == "NO")
        _ = try? channel.finish()
    }

    /// A header block without end, cut within its lines, beyond the size limit.
    @Test func headersThatAreAlwaysCutWithinALine() async {
        let policy = HeaderPolicy(droppedNames: [], sizeLimit: 1000, hopLimit: 50)
        let reception = MessageReception(
            decoder: DataDecoder(lineEnds: .strict, replacesStrayCR: true),
            filter: HeaderFilter(policy: policy, completion: nil),
            transfer: nil,
            sizeLimit: 10_000,
            memory: BodyMemory()
        )
        var largest = 0
        for _ in 0..<1000 {
            var input = ByteBuffer(string: ": a\r\n" + String(repeating: "X: yyyy\r\n", count: 20) + "X")
            #expect(await !reception.take(&input))
            for child in Mirror(reflecting: reception).children {
                if let buffer = child.value as? ByteBuffer { largest = max(largest, buffer.capacity) }
            }
        }
        #expect(reception.isTooLarge)
        #expect(largest < 64 * 1024)
    }

    /// Replies leave after every hundred commands, however many wait; none is lost and none comes twice.
    @Test func aLongPipelineIsAnsweredWhole() async throws {
        try await SessionServer.run(["smtpd_junk_command_limit": "1000000", "smtpd_forbid_unauth_pipelining": "no"]) { server in
            let client = try await DialogueConnection.connect(port: server.port)
            _ = try await client.reply()
            _ = try await client.command("EHLO h")
            async let sent: Void = client.send(String(repeating: "VRFY a@b.example\r\n", count: 1000))
            for _ in 0..<1000 { #expect(try await client.line() == "252 2.0.0 a@b.example") }
            try await sent
        }
    }
}
