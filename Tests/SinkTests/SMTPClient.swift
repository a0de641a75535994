import Foundation
import NIOCore
import NIOPosix
import Sink

/// Sends bytes and waits for replies; knows nothing of SMTP but where a reply ends.
struct SMTPClient {
    let channel: any Channel
    private let replies: AsyncStream<String>
    private var iterator: AsyncStream<String>.AsyncIterator

    init(to endpoint: SinkEndpoint, group: any EventLoopGroup) async throws {
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        let bootstrap = ClientBootstrap(group: group).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try channel.pipeline.syncOperations.addHandler(ReplyReader(continuation))
            }
        }
        channel =
            switch endpoint {
            case .inet(let host, let port): try await bootstrap.connect(host: host, port: port).get()
            case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
            }
        replies = stream
        iterator = stream.makeAsyncIterator()
    }

    func send(_ text: String) async throws { try await channel.writeAndFlush(ByteBuffer(string: text)) }

    /// The next reply, its lines joined by `|`; nil at the end of the connection.
    mutating func reply() async -> String? { await iterator.next(isolation: nil) }

    /// Sends `lines`, one by one, each after the reply to the one before; returns the replies.
    mutating func say(_ lines: String...) async throws -> [String?] {
        var out: [String?] = []
        for line in lines {
            try await send(line + "\r\n")
            out.append(await reply())
        }
        return out
    }

    func close() async throws { try? await channel.close() }

    private final class ReplyReader: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let continuation: AsyncStream<String>.Continuation
        private var pending = ""
        private var lines: [String] = []
        init(_ continuation: AsyncStream<String>.Continuation) { self.continuation = continuation }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            pending += String(buffer: unwrapInboundIn(data))
            while let end = pending.range(of: "\r\n") {
                let line = String(pending[..<end.lowerBound])
                pending.removeSubrange(..<end.upperBound)
                lines.append(line)
                if line.dropFirst(3).first != "-" {
                    continuation.yield(lines.joined(separator: "|"))
                    lines = []
                }
            }
        }
        func channelInactive(context: ChannelHandlerContext) { continuation.finish() }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
