import Glibc
import NIOCore
import NIOEmbedded
import Testing

@testable import TLS

@Suite struct HandlerTests {
    let certificates: Certificates
    let server: TLSContext
    let client: TLSContext

    init() throws {
        certificates = try Certificates()
        server = try serverContext(certificates.make("ec"))
        client = try clientContext()
    }

    @Test func handshakeAndFacts() throws {
        let pair = try EmbeddedPair(client: client, server: server, target: TLSClientTarget(serverName: "mx.test.example"))
        defer { pair.finish() }
        try pair.connect()
        let facts = try #require(pair.serverRecorder.facts)
        #expect(
            facts.summary == "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 "
                + "server-signature ECDSA (prime256v1) server-digest SHA256"
        )
        #expect(facts.serverNameIndication == "mx.test.example")
        #expect(facts.trustClass == "Anonymous")
        #expect(pair.clientRecorder.facts?.summary == facts.summary)
        #expect(pair.clientRecorder.facts?.peerCommonName == "mx.test.example")
        #expect(pair.clientRecorder.facts?.trustClass == "Untrusted")
    }

    @Test(arguments: [1, 2, 7, 1000, 20000]) func anyFragmentation(piece: Int) throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.connect()
        let up = ByteBuffer(repeating: 0x61, count: 40_000)
        let down = ByteBuffer(bytes: (0..<50_000).map { UInt8(truncatingIfNeeded: $0) })
        try pair.client.writeOutbound(up)
        try pair.server.writeOutbound(down)
        try pair.pump(piece: piece)
        #expect(pair.serverRecorder.received == up)
        #expect(pair.clientRecorder.received == down)
    }

    @Test func handshakeByteByByte() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 25)
        pair.server.connect(to: address, promise: nil)
        pair.client.connect(to: address, promise: nil)
        try pair.pump(piece: 1)
        #expect(pair.serverRecorder.facts != nil)
        #expect(pair.clientRecorder.facts != nil)
    }

    @Test(arguments: [">=TLSv1.3", "TLSv1.2"]) func oneMegabyteBothWays(protocols: String) throws {
        let pair = try EmbeddedPair(
            client: client,
            server: try serverContext(certificates.pair("ec")) { $0.policy.protocols = protocols }
        )
        defer { pair.finish() }
        try pair.connect()
        let megabyte = ByteBuffer(bytes: (0..<1_048_576).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        let sent = pair.loop.makePromise(of: Void.self)
        pair.client.writeAndFlush(megabyte, promise: sent)
        try pair.server.writeOutbound(megabyte)
        try pair.pump()
        #expect(pair.serverRecorder.received == megabyte)
        #expect(pair.clientRecorder.received == megabyte)
        try sent.futureResult.wait()
        #expect(pair.serverHandler?.connection?.buffers.outbound.capacity == 0, "no memory is kept while idle")
        #expect(pair.serverHandler?.connection?.buffers.inbound.capacity == 0)
    }

    @Test func manySmallWritesShareARecord() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.connect()
        pair.bytesToClient = 0
        let promises = (0..<100).map { _ in pair.loop.makePromise(of: Void.self) }
        for promise in promises { pair.server.write(ByteBuffer(string: "250 2.1.0 Ok\r\n"), promise: promise) }
        pair.server.flush()
        try pair.pump()
        for promise in promises { try promise.futureResult.wait() }
        #expect(pair.clientRecorder.received.readableBytes == 1400)
        #expect(pair.bytesToClient == 1400 + 22)
    }

    @Test func writesBeforeTheHandshakeAreSentAfterIt() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        let promise = pair.loop.makePromise(of: Void.self)
        pair.client.writeAndFlush(ByteBuffer(string: "EHLO early\r\n"), promise: promise)
        try pair.connect()
        try promise.futureResult.wait()
        #expect(pair.serverRecorder.text == "EHLO early\r\n")
    }

    @Test func closeSendsCloseNotify() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.connect()
        try pair.server.writeOutbound(ByteBuffer(string: "221 2.0.0 Bye\r\n"))
        try pair.server.close().wait()
        try pair.pump()
        #expect(pair.clientRecorder.text == "221 2.0.0 Bye\r\n")
        #expect(pair.clientRecorder.errors.isEmpty)
        #expect(!pair.client.isActive, "close_notify ends the other side too")
        #expect(throws: (any Error).self) { try pair.server.writeOutbound(ByteBuffer(string: "x")) }
    }

    @Test func halfCloseIsPassedOn() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.server.setOption(.allowRemoteHalfClosure, value: true).wait()
        try pair.connect()
        try pair.client.writeOutbound(ByteBuffer(string: "QUIT\r\n"))
        // EmbeddedChannel cannot close one half of itself; the records are what matters here.
        pair.clientHandler?.connection?.shutdown()
        try pair.client.writeOutbound(ByteBuffer())
        if let handler = pair.clientHandler, let context = handler.context, let connection = handler.connection {
            handler.sendEncrypted(context, connection, promise: nil)
        }
        try pair.pump()
        #expect(pair.serverRecorder.text == "QUIT\r\n")
        #expect(pair.serverRecorder.inputClosed == 1)
        #expect(pair.server.isActive)
        try pair.server.writeOutbound(ByteBuffer(string: "221 2.0.0 Bye\r\n"))
        try pair.pump()
        #expect(pair.clientRecorder.text == "221 2.0.0 Bye\r\n")
    }

    @Test func truncationIsNoError() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.connect()
        pair.server.pipeline.fireChannelInactive()
        #expect(pair.serverRecorder.isInactive)
        #expect(pair.serverRecorder.failure == nil)
        #expect(pair.serverRecorder.errors.isEmpty)
    }

    @Test func lostDuringHandshake() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
        let promise = pair.loop.makePromise(of: Void.self)
        pair.server.writeAndFlush(ByteBuffer(string: "220 hi\r\n"), promise: promise)
        try pair.server.writeInbound(ByteBuffer(bytes: [22, 3, 1]))
        pair.server.pipeline.fireChannelInactive()
        #expect(pair.serverRecorder.failure?.reason == "lost connection")
        #expect(throws: (any Error).self) { try promise.futureResult.wait() }
    }

    @Test func resetDuringHandshake() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
        pair.server.pipeline.fireErrorCaught(IOError(errnoCode: ECONNRESET, reason: "read"))
        #expect(pair.serverRecorder.failure?.reason == "Connection reset by peer")
        #expect(!pair.server.isActive)
    }

    @Test(arguments: [
        ("EHLO foo\r\n", "wrong version number", "EHLO foo" as String?),
        ("quit\r\n", "wrong version number", "quit"),
        ("GET / HTTP/1.0\r\n\r\n", "http request", "GET / HTTP/1.0"),
        ("\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}", "wrong version number", nil),
    ])
    func notTLS(bytes: String, reason: String, beginning: String?) throws {
        for piece in [1, Int.max] {
            let pair = try EmbeddedPair(client: client, server: server)
            defer { pair.finish() }
            pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
            var buffer = ByteBuffer(string: bytes)
            while pair.server.isActive, let slice = buffer.readSlice(length: min(piece, buffer.readableBytes)), slice.readableBytes > 0 {
                try pair.server.writeInbound(slice)
            }
            let failure = try #require(pair.serverRecorder.failure)
            #expect(failure.reason == "-1")
            let line = try #require(failure.libraryErrors.first)
            // As Postfix logs it: error:0A00009C:SSL routines::http request:../ssl/record/ssl3_record.c:341:
            #expect(line.hasPrefix("error:0A0001") || line.hasPrefix("error:0A00009C"))
            #expect(line.contains(":SSL routines::\(reason):"))
            #expect(line.hasSuffix(":"))
            if piece == .max { #expect(pair.serverRecorder.plaintext?.beginning == beginning) }
            #expect((pair.serverRecorder.plaintext != nil) == (beginning != nil))
            #expect(!pair.server.isActive)
        }
    }

    @Test func plaintextServer() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        pair.client.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
        try pair.client.writeInbound(ByteBuffer(string: "220 mx.test.example ESMTP\r\n"))
        #expect(pair.clientRecorder.plaintext?.beginning == "220 mx.test.example ESMTP")
        #expect(pair.clientRecorder.failure?.reason == "-1")
    }

    @Test func damagedRecord() throws {
        let pair = try EmbeddedPair(client: client, server: server)
        defer { pair.finish() }
        try pair.connect()
        try pair.client.writeOutbound(ByteBuffer(string: "MAIL FROM:<>\r\n"))
        var record = try #require(try pair.client.readOutbound(as: ByteBuffer.self))
        let last = record.writerIndex - 1
        record.setInteger(record.getInteger(at: last, as: UInt8.self)! ^ 1, at: last)
        try pair.server.writeInbound(record)
        let error = try #require(pair.serverRecorder.errors.first as? TLSError)
        #expect(error.libraryErrors.first?.contains("bad record mac") == true)
        #expect(pair.serverRecorder.text.isEmpty)
        #expect(!pair.server.isActive)
        // The peer is told by an alert.
        try pair.pump()
        #expect(pair.clientRecorder.errors.first is TLSError)
    }

    @Test func noSharedProtocol() throws {
        let pair = try EmbeddedPair(
            client: try clientContext { $0.policy.protocols = "TLSv1.2" },
            server: try serverContext(certificates.pair("ec")) { $0.policy.protocols = ">=TLSv1.3" }
        )
        defer { pair.finish() }
        try pair.connect()
        #expect(pair.serverRecorder.failure?.libraryErrors.first?.contains("unsupported protocol") == true)
        #expect(pair.clientRecorder.failure?.libraryErrors.first?.contains("alert protocol version") == true)
    }

    @Test func startTLSOnAnActiveChannel() throws {
        let loop = EmbeddedEventLoop()
        let plain = EmbeddedChannel(loop: loop)
        let peer = EmbeddedChannel(loop: loop)
        let (plainRecorder, peerRecorder) = (Recorder(), Recorder())
        try plain.pipeline.syncOperations.addHandler(plainRecorder)
        try peer.pipeline.syncOperations.addHandler(peerRecorder)
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 25)
        plain.connect(to: address, promise: nil)
        peer.connect(to: address, promise: nil)
        try plain.writeInbound(ByteBuffer(string: "STARTTLS\r\n"))
        plain.writeAndFlush(ByteBuffer(string: "220 2.0.0 Ready to start TLS\r\n"), promise: nil)
        try plain.pipeline.syncOperations.addHandler(TLSHandler(context: server, role: .server), position: .first)
        let reply = try #require(try plain.readOutbound(as: ByteBuffer.self))
        #expect(String(buffer: reply) == "220 2.0.0 Ready to start TLS\r\n")
        try peer.pipeline.syncOperations.addHandler(TLSHandler(context: client, role: .client(TLSClientTarget())), position: .first)
        for _ in 0..<20 {
            loop.run()
            while let buffer = try peer.readOutbound(as: ByteBuffer.self) { try plain.writeInbound(buffer) }
            while let buffer = try plain.readOutbound(as: ByteBuffer.self) { try peer.writeInbound(buffer) }
        }
        #expect(plainRecorder.facts?.protocolVersion == "TLSv1.3")
        #expect(plainRecorder.text == "STARTTLS\r\n")
        try peer.writeOutbound(ByteBuffer(string: "EHLO again\r\n"))
        while let buffer = try peer.readOutbound(as: ByteBuffer.self) { try plain.writeInbound(buffer) }
        #expect(plainRecorder.text == "STARTTLS\r\nEHLO again\r\n")
        _ = try? plain.finish(acceptAlreadyClosed: true)
        _ = try? peer.finish(acceptAlreadyClosed: true)
    }

    @Test func nothingLeaks() throws {
        weak var anyServer: TLSHandler?
        weak var anyConnection: TLSConnection?
        weak var anyBuffers: RecordBuffers?
        for index in 0..<2000 {
            let pair = try EmbeddedPair(client: client, server: server)
            // A third each: closed after use, lost in the handshake, never used.
            switch index % 3 {
            case 0:
                try pair.connect()
                try pair.client.writeOutbound(ByteBuffer(string: "QUIT\r\n"))
                try pair.pump()
            case 1:
                pair.server.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
                try pair.server.writeInbound(ByteBuffer(bytes: [22, 3, 1, 0, 200]))
            default: break
            }
            anyServer = pair.serverHandler
            if let connection = pair.serverHandler?.connection { (anyConnection, anyBuffers) = (connection, connection.buffers) }
            #expect(anyServer != nil)
            pair.finish()
            pair.loop.run()
        }
        #expect(anyServer == nil)
        #expect(anyConnection == nil)
        #expect(anyBuffers == nil)
    }
}
