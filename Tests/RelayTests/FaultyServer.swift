import NIOCore
import NIOPosix
import Synchronization
import TLS

/// A server that does what a test wants at each stage. One for each test, on a port (or socket) of its own.
final class FaultyServer: Sendable {
    /// What happens in answer to a command, the greeting or the end of the data.
    enum Action: Sendable {
        /// Lines without CRLF, several for a multi-line reply.
        case reply([String])
        case close
        case replyAndClose(String)
        case silence

        static func say(_ line: String) -> Action { .reply([line]) }
    }

    struct Message: Sendable {
        var sender: String
        var recipients: [String]
        /// As received, still dot-stuffed, without the final dot.
        var data: String
        var connection: Int
    }

    /// `greeting`, a verb (`MAIL`), a verb with its argument (`RCPT TO:<r5@x>`), or `.` for the end of the data. First match of the longer key.
    struct Script: Sendable {
        var actions: [String: Action] = [:]
        var capabilities = ["PIPELINING", "SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES"]
        var isLMTP = false
        /// Only the first so many connections follow `actions`; later ones are normal. nil: all.
        var faultyConnections: Int?
        /// STARTTLS is offered and done with this.
        var tls: TLSContext?
        /// TLS from the first byte.
        var isWrapped = false
    }

    struct Record: Sendable {
        var connections = 0
        var commands: [String] = []
        var messages: [Message] = []
        /// Bytes that came in one read, to see pipelining.
        var reads: [String] = []
    }

    private let record = Mutex(Record())
    private let channel: Mutex<(any Channel)?> = Mutex(nil)
    let script: Script

    init(_ script: Script = Script()) { self.script = script }

    static func started(_ script: Script = Script(), on group: any EventLoopGroup, path: String? = nil) async throws -> FaultyServer {
        let server = FaultyServer(script)
        let bootstrap = ServerBootstrap(group: group).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                if script.isWrapped, let tls = script.tls {
                    try channel.pipeline.syncOperations.addHandler(TLSHandler(context: tls, role: .server))
                }
                try channel.pipeline.syncOperations.addHandler(FaultyConnection(server))
            }
        }
        let channel =
            if let path { try await bootstrap.bind(unixDomainSocketPath: path).get() } else {
                try await bootstrap.bind(host: "127.0.0.1", port: 0).get()
            }
        server.channel.withLock { $0 = channel }
        return server
    }

    var port: Int { channel.withLock { $0?.localAddress?.port ?? 0 } }
    var seen: Record { record.withLock { $0 } }

    func stop() async throws { try await channel.withLock { $0 }?.close().get() }

    fileprivate func note(_ change: (inout Record) -> Void) { record.withLock { change(&$0) } }

    fileprivate func connected() -> Int {
        record.withLock { record in
            record.connections += 1
            return record.connections
        }
    }
}

private final class FaultyConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let server: FaultyServer
    private var number = 0
    private var buffer = ""
    private var sender = ""
    private var recipients: [String] = []
    private var data: String?
    private var isFrozen = false

    init(_ server: FaultyServer) { self.server = server }

    func channelActive(context: ChannelHandlerContext) {
        number = server.connected()
        perform(action("greeting") ?? .say("220 faulty.example ESMTP"), context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = String(buffer: unwrapInboundIn(data))
        server.note { $0.reads.append(text) }
        buffer += text
        while !isFrozen, let end = buffer.firstRange(of: "\r\n") {
            let line = String(buffer[..<end.lowerBound])
            buffer.removeSubrange(..<end.upperBound)
            take(line, context)
        }
    }

    private func take(_ line: String, _ context: ChannelHandlerContext) {
        if let sofar = data {
            if line != "." {
                data = sofar + line + "\r\n"
                return
            }
            data = nil
            endOfData(sofar, context)
            return
        }
        server.note { $0.commands.append(line) }
        let verb = String(line.prefix { $0 != " " }).uppercased()
        if let action = action(line) ?? action(verb) { return perform(action, context, verb: verb) }
        switch verb {
        case "EHLO", "LHLO": perform(.reply(["250 faulty.example"] + server.script.capabilities.map { "250 \($0)" }), context)
        case "STARTTLS":
            perform(.say("220 2.0.0 Ready to start TLS"), context)
            if let tls = server.script.tls {
                try? context.pipeline.syncOperations.addHandler(TLSHandler(context: tls, role: .server), position: .first)
            }
        case "MAIL":
            sender = line
            recipients = []
            perform(.say("250 2.1.0 Ok"), context)
        case "RCPT":
            if sender.isEmpty { return perform(.say("503 5.5.1 Error: need MAIL command"), context) }
            recipients.append(String(line.dropFirst(8)))
            perform(.say("250 2.1.5 Ok"), context)
        case "DATA":
            if recipients.isEmpty { return perform(.say("554 5.5.1 Error: no valid recipients"), context) }
            perform(.say("354 go"), context, verb: "DATA")
        case "QUIT": perform(.replyAndClose("221 2.0.0 Bye"), context)
        case "RSET":
            recipients = []
            perform(.say("250 2.0.0 Ok"), context)
        default: perform(.say("250 2.0.0 Ok"), context)
        }
    }

    private func endOfData(_ text: String, _ context: ChannelHandlerContext) {
        for recipient in server.script.isLMTP ? recipients : [""] {
            let answer = action(recipient.isEmpty ? "." : ". \(recipient)") ?? action(".") ?? .say("250 2.0.0 Ok: queued as ABC")
            if case .reply(let lines) = answer, lines[0].hasPrefix("2") {
                let message = FaultyServer.Message(
                    sender: sender,
                    recipients: recipient.isEmpty ? recipients : [recipient],
                    data: text,
                    connection: number
                )
                server.note { $0.messages.append(message) }
            }
            perform(answer, context)
        }
        sender = ""
    }

    private func action(_ key: String) -> FaultyServer.Action? {
        if let limit = server.script.faultyConnections, number > limit { return nil }
        return server.script.actions[key]
    }

    private func perform(_ action: FaultyServer.Action, _ context: ChannelHandlerContext, verb: String = "") {
        switch action {
        case .reply(let lines):
            if verb == "DATA", lines[0].hasPrefix("354") { data = "" }
            for (index, line) in lines.enumerated() {
                let text = index < lines.count - 1 ? line.prefix(3) + "-" + line.dropFirst(4) : line[...]
                context.write(wrapOutboundOut(ByteBuffer(string: text + "\r\n")), promise: nil)
            }
            context.flush()
        case .close: context.close(promise: nil)
        case .replyAndClose(let line):
            let channel = context.channel
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: line + "\r\n"))).whenComplete { _ in channel.close(promise: nil) }
        case .silence: isFrozen = true
        }
    }

    typealias OutboundOut = ByteBuffer
}
