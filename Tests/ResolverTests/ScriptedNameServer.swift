import NIOCore
import NIOPosix
import SMTPCore
import Synchronization

@testable import Resolver

/// A name server on 127.0.0.1, UDP and TCP on one port, whose answers the test writes as a function from query to packets.
final class ScriptedNameServer: Sendable {
    struct Query: Sendable {
        var id: UInt16
        var question: DNSQuestion
        var overTCP: Bool
        var hasEDNS: Bool
        /// The packet as it came.
        var bytes: [UInt8]
    }

    typealias Script = @Sendable (Query) -> [[UInt8]]

    let port: Int
    private let datagrams: any Channel
    private let stream: any Channel
    private let log: Log

    final class Log: Sendable {
        private let entries = Mutex<[Query]>([])
        var queries: [Query] { entries.withLock { $0 } }
        func append(_ query: Query) { entries.withLock { $0.append(query) } }
    }

    var queries: [Query] { log.queries }

    init(group: any EventLoopGroup, script: @escaping Script) async throws {
        let log = Log()
        stream = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(StreamServer(script: script, log: log))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = stream.localAddress!.port!
        datagrams = try await DatagramBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(DatagramServer(script: script, log: log))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        self.log = log
    }

    func stop() async throws {
        try await datagrams.close()
        try await stream.close()
    }

    static func query(_ bytes: [UInt8], overTCP: Bool) -> Query? {
        guard let message = try? DNSMessage(bytes), let question = message.question else { return nil }
        return Query(id: message.id, question: question, overTCP: overTCP, hasEDNS: bytes[11] == 1, bytes: bytes)
    }

    private final class DatagramServer: ChannelInboundHandler {
        typealias InboundIn = AddressedEnvelope<ByteBuffer>
        let script: Script
        let log: Log
        init(script: @escaping Script, log: Log) {
            self.script = script
            self.log = log
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let envelope = unwrapInboundIn(data)
            guard let query = ScriptedNameServer.query(Array(envelope.data.readableBytesView), overTCP: false) else { return }
            log.append(query)
            for packet in script(query) {
                context.channel.writeAndFlush(
                    AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: packet)),
                    promise: nil
                )
            }
        }
    }

    private final class StreamServer: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let script: Script
        let log: Log
        init(script: @escaping Script, log: Log) {
            self.script = script
            self.log = log
        }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var buffer = unwrapInboundIn(data)
            guard let length: UInt16 = buffer.readInteger(), let bytes = buffer.readBytes(length: Int(length)),
                let query = ScriptedNameServer.query(bytes, overTCP: true)
            else { return }
            log.append(query)
            for packet in script(query) {
                var out = ByteBuffer()
                out.writeInteger(UInt16(packet.count))
                out.writeBytes(packet)
                // In two pieces, as TCP may deliver it.
                context.writeAndFlush(NIOAny(out.readSlice(length: 3)!), promise: nil)
                context.writeAndFlush(NIOAny(out), promise: nil)
            }
        }
    }
}

/// Writes responses, including broken ones.
struct Response {
    var id: UInt16
    var question: DNSQuestion?
    var flags: UInt16 = 0x8180
    var answers: [Record] = []
    var authorities: [Record] = []

    struct Record {
        var name: String
        var type: RecordType
        var timeToLive: UInt32 = 300
        var data: [UInt8]

        static func a(_ name: String, _ text: String, timeToLive: UInt32 = 300) -> Record {
            guard case .v4(let value)? = IPAddress(text) else { fatalError("not IPv4: \(text)") }
            return Record(name: name, type: .a, timeToLive: timeToLive, data: Response.bytes(of: UInt64(value), count: 4))
        }
        static func aaaa(_ name: String, _ text: String) -> Record {
            guard case .v6(let high, let low)? = IPAddress(text) else { fatalError("not IPv6: \(text)") }
            return Record(name: name, type: .aaaa, data: Response.bytes(of: high, count: 8) + Response.bytes(of: low, count: 8))
        }
        static func cname(_ name: String, _ target: String) -> Record {
            Record(name: name, type: .cname, data: DomainName(target)!.wire)
        }
        static func ptr(_ name: String, _ target: String) -> Record { Record(name: name, type: .ptr, data: DomainName(target)!.wire) }
        static func mx(_ name: String, _ preference: UInt16, _ host: String) -> Record {
            let wire = host.isEmpty ? [0] : DomainName(host)!.wire
            return Record(name: name, type: .mx, data: [UInt8(preference >> 8), UInt8(preference & 255)] + wire)
        }
        static func txt(_ name: String, _ strings: [String]) -> Record {
            Record(name: name, type: .txt, data: strings.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) })
        }
        static func soa(_ name: String, minimum: UInt32) -> Record {
            let head = [UInt8](repeating: 0, count: 18)
            return Record(name: name, type: .soa, data: head + Response.bytes(of: UInt64(minimum), count: 4))
        }
    }

    init(_ query: ScriptedNameServer.Query, code: UInt16 = 0, answers: [Record] = [], authorities: [Record] = []) {
        self.init(id: query.id, question: query.question, flags: 0x8180 | code, answers: answers, authorities: authorities)
    }

    init(id: UInt16, question: DNSQuestion?, flags: UInt16 = 0x8180, answers: [Record] = [], authorities: [Record] = []) {
        self.id = id
        self.question = question
        self.flags = flags
        self.answers = answers
        self.authorities = authorities
    }

    /// The lowest `count` bytes of `value`, most significant first.
    static func bytes(of value: UInt64, count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - 1 - $0))) }
    }

    var bytes: [UInt8] {
        func word(_ value: Int) -> [UInt8] { Self.bytes(of: UInt64(value), count: 2) }
        var out = word(Int(id)) + word(Int(flags))
        for count in [question == nil ? 0 : 1, answers.count, authorities.count, 0] { out += word(count) }
        if let question { out += question.name.wire + word(Int(question.type.rawValue)) + word(1) }
        for record in answers + authorities {
            out += DomainName(record.name)!.wire
            out += word(Int(record.type.rawValue)) + word(1)
            out += Self.bytes(of: UInt64(record.timeToLive), count: 4)
            out += word(record.data.count) + record.data
        }
        return out
    }
}
