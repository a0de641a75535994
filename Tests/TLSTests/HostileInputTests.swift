import NIOCore
import NIOEmbedded
import Testing

@testable import TLS

/// What a peer that means no good can send: it must end in a failure or a wait, within bounded memory, never in a trap.
@Suite struct HostileInputTests {
    let certificates: Certificates
    let server: TLSContext
    let client: TLSContext

    init() throws {
        certificates = try Certificates()
        server = try serverContext(certificates.make("ec")) { $0.askClientCertificate = true }
        client = try clientContext()
    }

    private struct Random: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private func damage(_ buffer: ByteBuffer, _ random: inout Random) -> ByteBuffer {
        var bytes = Array(buffer.readableBytesView)
        for _ in 0..<Int.random(in: 1...6, using: &random) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: index)
            case 2: bytes.insert(contentsOf: [0, 0xFF, UInt8.random(in: 0...255, using: &random)], at: index)
            default: bytes.removeLast(min(bytes.count, Int.random(in: 0...40, using: &random)))
            }
        }
        return ByteBuffer(bytes: bytes)
    }

    /// Damages one flight of an otherwise honest exchange, in every direction and at every stage.
    @Test(arguments: 0..<8) func damagedFlights(seed: UInt64) throws {
        var random = Random(state: seed)
        for _ in 0..<60 {
            let pair = try EmbeddedPair(client: client, server: server)
            defer { pair.finish() }
            let address = try SocketAddress(ipAddress: "127.0.0.1", port: 25)
            pair.server.connect(to: address, promise: nil)
            pair.client.connect(to: address, promise: nil)
            pair.client.writeAndFlush(ByteBuffer(string: "EHLO x\r\n"), promise: nil)
            let victim = Int.random(in: 0..<5, using: &random)
            var flight = 0
            for _ in 0..<20 {
                pair.loop.run()
                for (source, destination) in [(pair.client, pair.server), (pair.server, pair.client)] {
                    while let buffer = try source.readOutbound(as: ByteBuffer.self) {
                        guard destination.isActive else { continue }
                        try destination.writeInbound(flight == victim ? damage(buffer, &random) : buffer)
                        flight += 1
                    }
                }
            }
            #expect(flight > 0)
            #expect(["", "EHLO x\r\n"].contains(pair.serverRecorder.text), "plaintext that was not sent must not appear")
            if pair.serverRecorder.failure != nil { #expect(!pair.server.isActive) }
        }
    }

    @Test func noise() throws {
        var random = Random(state: 4711)
        for _ in 0..<500 {
            let pair = try EmbeddedPair(client: client, server: server)
            defer { pair.finish() }
            pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
            let bytes = (0..<Int.random(in: 5...3000, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            try pair.server.writeInbound(ByteBuffer(bytes: bytes))
            #expect(pair.serverRecorder.facts == nil)
        }
    }

    /// A handshake message that claims to be 16 MB, sent in full-size records.
    @Test func endlessHandshakeMessage() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
        var sent = 0
        var payload: [UInt8] = [1, 0xFF, 0xFF, 0xFF] + [UInt8](repeating: 3, count: 16380)
        while pair.server.isActive, sent < 4_000_000 {
            try pair.server.writeInbound(ByteBuffer(bytes: [22, 3, 1, 0x40, 0] + payload))
            sent += payload.count
            payload = [UInt8](repeating: 3, count: 16384)
        }
        #expect(pair.serverRecorder.failure?.libraryErrors.first?.contains("excessive message size") == true)
        #expect(sent < 300_000)
    }

    /// Records without content cost the peer little; the library must lose patience.
    @Test func emptyRecords() throws {
        let pair = try EmbeddedPair(
            client: client,
            server: try serverContext(certificates.pair("ec")) { $0.policy.protocols = "TLSv1.2" }
        )
        defer { pair.finish() }
        try pair.connect()
        var sent = 0
        while pair.server.isActive, sent < 1000 {
            // Application data of length 0 is not even a valid AEAD record.
            try pair.server.writeInbound(ByteBuffer(bytes: [23, 3, 3, 0, 0]))
            sent += 1
        }
        #expect(sent < 100)
        #expect(pair.serverRecorder.text.isEmpty)
    }
}
