package import NIOCore

/// TLS over a channel, by OpenSSL: encrypts what passes outbound, decrypts what comes in.
///
/// Add it in the child initializer before every other handler for TLS from the first byte (RFC 8314), or at the head of the pipeline of an
/// active channel after `220 2.0.0 Ready to start TLS` has been written and flushed (RFC 3207); the handshake starts at once. When it is
/// done, `TLSEvent.handshakeCompleted` arrives as a user inbound event, before any decrypted byte. When it fails, `TLSEvent.handshakeFailed`
/// does, and the channel is closed. What is written before the handshake ends is kept and sent afterwards. A timeout of the handshake is the
/// session's business: it closes the channel.
///
/// Must be used on its channel's loop only; the library keeps its error queue per thread.
package final class TLSHandler: ChannelDuplexHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package enum Role: Sendable, Hashable {
        case server
        case client(TLSClientTarget)
    }

    private let tls: TLSContext
    private let role: Role

    package init(context: TLSContext, role: Role) {
        self.tls = context
        self.role = role
    }

    package func handlerAdded(context: ChannelHandlerContext) {
        fatalError("TLS is not implemented yet")
    }
}
