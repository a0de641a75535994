import Foundation
import NIOCore
import NIOEmbedded

@testable import TLS

/// A directory of certificates for one test, removed with it.
final class Certificates: Sendable {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "postern-tls-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func pair(_ name: String) -> TLSKeyPair { TLSKeyPair(certificateFile: file("\(name).pem"), keyFile: file("\(name).key")) }

    /// Writes NAME.pem and NAME.key by our own maker: EC P-256.
    @discardableResult
    func make(_ name: String, names: [String] = ["mx.test.example"], days: Int = 30) throws -> TLSKeyPair {
        try SelfSignedCertificate.make(names: names, validForDays: days)
            .write(certificateFile: file("\(name).pem"), keyFile: file("\(name).key"))
        return pair(name)
    }

    /// A self-signed pair by the openssl tool: `kind` is what -newkey takes.
    @discardableResult
    func make(_ name: String, kind: [String], subject: String = "/CN=mx.test.example", extra: [String] = []) throws -> TLSKeyPair {
        try openssl(
            ["req", "-x509", "-newkey"] + kind
                + ["-nodes", "-keyout", file("\(name).key"), "-out", file("\(name).pem"), "-subj", subject, "-days", "30"] + extra
        )
        return pair(name)
    }

    /// A pair whose certificate is issued by the pair `ca`.
    @discardableResult
    func issue(_ name: String, by ca: String, subject: String, san: String) throws -> TLSKeyPair {
        try write("\(name).ext", "subjectAltName=\(san)\n")
        try openssl(
            ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", file("\(name).key"), "-out"]
                + [file("\(name).csr"), "-subj", subject]
        )
        try openssl(
            ["x509", "-req", "-in", file("\(name).csr"), "-CA", file("\(ca).pem"), "-CAkey", file("\(ca).key"), "-CAcreateserial"]
                + ["-days", "20", "-extfile", file("\(name).ext"), "-out", file("\(name).pem")]
        )
        return pair(name)
    }

    func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: file(name))) }

    func text(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }
}

struct CommandFailed: Error, CustomStringConvertible { let description: String }

/// Runs the openssl tool, for at most 20 s, and returns what it printed on both outputs.
@discardableResult
func openssl(_ arguments: [String], input: String = "", expectSuccess: Bool = true) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/timeout")
    process.arguments = ["20", "openssl"] + arguments
    let output = Pipe()
    let stdin = Pipe()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = stdin
    try process.run()
    stdin.fileHandleForWriting.write(Data(input.utf8))
    try stdin.fileHandleForWriting.close()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 || !expectSuccess else {
        throw CommandFailed(description: "openssl \(arguments.joined(separator: " ")): status \(process.terminationStatus)\n\(text)")
    }
    return text
}

/// Keeps what came up the pipeline.
final class Recorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var received = ByteBuffer()
    var facts: TLSFacts?
    var failure: (reason: String, libraryErrors: [String])?
    var plaintext: TLSPlaintextReceived?
    var errors: [any Error] = []
    var inputClosed = 0
    var isInactive = false

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSEvent.handshakeCompleted(let facts): self.facts = facts
        case TLSEvent.handshakeFailed(let reason, let libraryErrors): failure = (reason, libraryErrors)
        case let event as TLSPlaintextReceived: plaintext = event
        case ChannelEvent.inputClosed: inputClosed += 1
        default: break
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { errors.append(error) }

    func channelInactive(context: ChannelHandlerContext) { isInactive = true }

    var text: String { String(buffer: received) }
}

/// A client and a server back to back in memory.
final class EmbeddedPair {
    let loop = EmbeddedEventLoop()
    let client: EmbeddedChannel
    let server: EmbeddedChannel
    let clientRecorder = Recorder()
    let serverRecorder = Recorder()
    weak var clientHandler: TLSHandler?
    weak var serverHandler: TLSHandler?
    /// What crossed the wire, towards the client.
    var bytesToClient = 0

    init(client clientContext: TLSContext, server serverContext: TLSContext, target: TLSClientTarget = TLSClientTarget()) throws {
        client = EmbeddedChannel(loop: loop)
        server = EmbeddedChannel(loop: loop)
        let clientTLS = TLSHandler(context: clientContext, role: .client(target))
        let serverTLS = TLSHandler(context: serverContext, role: .server)
        clientHandler = clientTLS
        serverHandler = serverTLS
        try client.pipeline.syncOperations.addHandlers([clientTLS, clientRecorder])
        try server.pipeline.syncOperations.addHandlers([serverTLS, serverRecorder])
    }

    func connect() throws {
        let address = try SocketAddress(ipAddress: "127.0.0.1", port: 25)
        server.connect(to: address, promise: nil)
        client.connect(to: address, promise: nil)
        try pump()
    }

    /// Carries bytes both ways until nothing moves any more; `piece` cuts them into pieces of that many bytes.
    func pump(piece: Int = .max) throws {
        for _ in 0..<100_000 {
            loop.run()
            let moved = try (carry(from: client, to: server, piece: piece) + carry(from: server, to: client, piece: piece))
            if moved == 0 { return }
        }
        throw CommandFailed(description: "the two ends never came to rest")
    }

    private func carry(from source: EmbeddedChannel, to destination: EmbeddedChannel, piece: Int) throws -> Int {
        var moved = 0
        while var buffer = try source.readOutbound(as: ByteBuffer.self) {
            moved += buffer.readableBytes
            if destination === client { bytesToClient += buffer.readableBytes }
            while destination.isActive, let slice = buffer.readSlice(length: min(piece, buffer.readableBytes)), slice.readableBytes > 0 {
                try destination.writeInbound(slice)
            }
        }
        return moved
    }

    func finish() {
        _ = try? client.finish(acceptAlreadyClosed: true)
        _ = try? server.finish(acceptAlreadyClosed: true)
    }
}

func serverContext(_ pair: TLSKeyPair, _ adjust: (inout TLSServerConfiguration) -> Void = { _ in }) throws -> TLSContext {
    var configuration = TLSServerConfiguration()
    configuration.pair = pair
    adjust(&configuration)
    return try TLSContext.server(configuration)
}

func clientContext(_ adjust: (inout TLSClientConfiguration) -> Void = { _ in }) throws -> TLSContext {
    var configuration = TLSClientConfiguration()
    adjust(&configuration)
    return try TLSContext.client(configuration)
}
