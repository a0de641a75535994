import LoopTask
import NIOCore
import NIOEmbedded
import Submission
import TLS

/// One connection to the real session, on an event loop that is stepped by hand: no thread, no socket, no clock. TLS is real, with a
/// client on another channel of the same loop.
final class SessionHarness {
    /// What the client does when the server is ready for TLS.
    enum Upgrade {
        case handshake
        /// It goes on in plaintext.
        case none
    }

    let queue = RecordingQueue()
    private let server: FuzzServer
    private let loop = EmbeddedEventLoop()
    private let channel: EmbeddedChannel
    private var client: EmbeddedChannel?
    private let upgrade: Upgrade
    /// The server waits for a handshake that will not come: what it sends is no reply.
    private var isNoise = false
    /// All the server has said so far, decrypted.
    private(set) var output: [UInt8] = []
    private let closing = CloseWatcher()
    private var violation: String?
    /// The server has closed its side: no further reply is to be expected.
    var isClosed: Bool { closing.isClosed || !channel.isActive }
    var log: RecordingLog { server.log }

    /// - Parameters:
    ///   - proxyHeader: sent before everything else, in plaintext.
    ///   - isWrapped: TLS follows at once.
    init(_ values: [String: String], upgrade: Upgrade = .handshake, proxyHeader: String = "", isWrapped: Bool = false) throws {
        self.upgrade = upgrade
        server = try FuzzServer.taken(values)
        server.log.clear()
        channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandler(closing)
        try startSession(on: channel, service: server.service, executor: LoopExecutor(loop), handOff: RecordingHandOff(queue))
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 2525), promise: nil)
        settle()
        if !proxyHeader.isEmpty { send(proxyHeader.utf8) }
        if isWrapped {
            try startTLS()
            settle()
        }
    }

    private func startTLS() throws {
        let channel = EmbeddedChannel(loop: loop)
        try channel.pipeline.syncOperations.addHandler(TLSHandler(context: FuzzTLS.shared.client, role: .client(TLSClientTarget())))
        channel.connect(to: try SocketAddress(ipAddress: "127.0.0.1", port: 25), promise: nil)
        client = channel
    }

    /// Runs both ends until they wait again, and collects what the server said.
    private func settle() {
        repeat { loop.run() } while exchange()
        guard client == nil, !isNoise, output.endsWith("220 2.0.0 Ready to start TLS\r\n") else { return }
        guard case .handshake = upgrade else {
            isNoise = true
            return
        }
        let before = output.count
        do { try startTLS() } catch { violation = "no TLS client: \(error)" }
        repeat { loop.run() } while exchange()
        if output.count > before { violation = "what came behind STARTTLS in plaintext was answered: \(shown(output[before...]))" }
    }

    /// Whether anything moved.
    private func exchange() -> Bool {
        var moved = false
        while let buffer = try? channel.readOutbound(as: ByteBuffer.self) {
            moved = true
            if let client {
                deliver(buffer, to: client)
            } else if !isNoise {
                output += buffer.readableBytesView
            }
        }
        guard let client else { return moved }
        while let buffer = try? client.readOutbound(as: ByteBuffer.self) {
            moved = true
            deliver(buffer, to: channel)
        }
        while let buffer = try? client.readInbound(as: ByteBuffer.self) { output += buffer.readableBytesView }
        return moved
    }

    private func deliver(_ buffer: ByteBuffer, to channel: EmbeddedChannel) {
        guard channel.isActive else { return }
        channel.pipeline.fireChannelRead(buffer)
        channel.pipeline.fireChannelReadComplete()
    }

    func send(_ bytes: some Collection<UInt8>) {
        guard channel.isActive, !bytes.isEmpty else { return }
        if let client {
            guard client.isActive else { return }
            client.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
        } else {
            deliver(ByteBuffer(bytes: bytes), to: channel)
        }
        settle()
    }

    /// The client goes away; afterwards nothing of the session may be left.
    func hangUp() throws {
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        settle()
        try? channel.close().wait()
        // The session's last steps and the bound on its closing.
        loop.advanceTime(by: .seconds(60))
        settle()
        _ = try? channel.finish(acceptAlreadyClosed: true)
        _ = try? client?.finish(acceptAlreadyClosed: true)
        if let violation { throw FuzzViolation(description: violation) }
        try server.requireIdle()
        FuzzServer.giveBack(server)
    }
}

extension [UInt8] {
    func endsWith(_ text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}

/// Sees the server close its side, which an embedded channel does not tell otherwise.
private final class CloseWatcher: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    private(set) var isClosed = false

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        isClosed = true
        context.close(mode: mode, promise: promise)
    }
}
