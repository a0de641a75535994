package import NIOCore
import NIOPosix
import Synchronization

/// The client's end of one connection, for tests: sends bytes, reads lines, and never waits longer than its bound.
package final class DialogueConnection: Sendable {
    private final class Collector: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        struct State {
            var input = ByteBuffer()
            var hasEnded = false
        }

        let state = Mutex(State())

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            state.withLock { _ = $0.input.writeBuffer(&bytes) }
        }

        func channelInactive(context: ChannelHandlerContext) { state.withLock { $0.hasEnded = true } }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { state.withLock { $0.hasEnded = true } }
    }

    package struct TimedOut: Error {}

    private let collector: Collector
    package let channel: any Channel

    private init(_ channel: any Channel, _ collector: Collector) {
        self.channel = channel
        self.collector = collector
    }

    package static func connect(port: Int, host: String = "127.0.0.1") async throws -> DialogueConnection {
        let collector = Collector()
        // Before the connection is up: the greeting may come at once.
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(collector) }
            }
            .connect(host: host, port: port).get()
        return DialogueConnection(channel, collector)
    }

    package func send(_ bytes: some Sequence<UInt8> & Sendable) async throws {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
    }

    package func send(_ text: String) async throws { try await send(Array(text.utf8)) }

    /// A line has come that has not been read.
    package var hasLine: Bool { collector.state.withLock { $0.input.readableBytesView.contains(UInt8(ascii: "\n")) } }

    /// The next line without its CRLF; nil at the end of the connection.
    package func line(within seconds: Int = 20) async throws -> String? {
        for _ in 0..<(seconds * 1000) {
            let found: (line: String?, ended: Bool) = collector.state.withLock { state in
                let view = state.input.readableBytesView
                guard let end = view.firstIndex(of: UInt8(ascii: "\n")) else { return (nil, state.hasEnded) }
                let line = String(decoding: view[..<end].filter { $0 != 0x0D }, as: UTF8.self)
                state.input.moveReaderIndex(forwardBy: end + 1 - view.startIndex)
                return (line, false)
            }
            if found.line != nil || found.ended { return found.line }
            try await Task.sleep(for: .milliseconds(1))
        }
        throw TimedOut()
    }

    /// All lines of the next reply, the last one without its hyphen; empty at the end of the connection.
    package func reply() async throws -> [String] {
        var lines: [String] = []
        while let line = try await line() {
            lines.append(line)
            if line.utf8.count < 4 || line.utf8.dropFirst(3).first != UInt8(ascii: "-") { break }
        }
        return lines
    }

    /// Sends a line and gives the reply's last line.
    package func command(_ line: String) async throws -> String {
        try await send("\(line)\r\n")
        return try await reply().last ?? "<EOF>"
    }

    package func close() async { try? await channel.close() }
}
