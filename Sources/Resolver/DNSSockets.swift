internal import NIOCore

/// What a socket to a name server tells the exchange that opened it. Everything happens on the exchange's loop.
protocol DNSSocketOwner: AnyObject {
    func received(_ message: [UInt8], server: Int, overTCP: Bool)
    /// The socket is of no more use: refused, unreachable, reset, or ended early.
    func broke(_ reason: String, server: Int, overTCP: Bool)
}

/// Connected UDP: the kernel drops datagrams from anyone but the server, and has chosen a random source port for this question alone.
final class DNSDatagramHandler: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let owner: any DNSSocketOwner
    private let server: Int

    init(owner: any DNSSocketOwner, server: Int) {
        self.owner = owner
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        owner.received(Array(unwrapInboundIn(data).data.readableBytesView), server: server, overTCP: false)
    }

    /// ICMP port unreachable arrives here as ECONNREFUSED.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        owner.broke(describe(error), server: server, overTCP: false)
    }
}

/// TCP: each message has a length of two bytes before it (RFC 1035 section 4.2.2), so what is buffered is bounded by 64 KiB and a read.
final class DNSStreamHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let owner: any DNSSocketOwner
    private let server: Int
    private var pending = ByteBuffer()

    init(owner: any DNSSocketOwner, server: Int) {
        self.owner = owner
        self.server = server
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        pending.writeBuffer(&incoming)
        while let length: UInt16 = pending.getInteger(at: pending.readerIndex), pending.readableBytes >= 2 + Int(length) {
            pending.moveReaderIndex(forwardBy: 2)
            guard let message = pending.readBytes(length: Int(length)) else { return }
            owner.received(message, server: server, overTCP: true)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        owner.broke("connection closed", server: server, overTCP: true)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        owner.broke(describe(error), server: server, overTCP: true)
        context.close(promise: nil)
    }
}

func describe(_ error: any Error) -> String {
    if let error = error as? IOError { error.description } else { "\(error)" }
}
