import DequeModule
import NIOCore

/// One connection to a worker or to Dovecot: the handshake, and the answers by number. Used on the pool's loop only.
final class BackEndConnection {
    /// A step's end as the back end said it.
    struct Answer {
        var id: UInt32
        var step: AuthenticationStep
        var log: [String]
    }

    /// Dovecot drops a cancelled request at once; our worker may be stuck in it.
    let forgetsCancelled: Bool
    /// Steps it runs at the same time.
    private let capacity: Int
    private(set) var mechanisms: [AuthMechanism] = []
    private(set) var isReady = false
    private var sawVersion = false
    private weak var core: AuthPoolCore?
    var channel: (any Channel)?
    /// Exchanges that live here.
    var open: Set<UInt32> = []
    /// Steps that have been sent and not answered, abandoned ones included.
    var running: Set<UInt32> = []
    /// Steps of exchanges that live here, waiting for their turn.
    var pinned: Deque<AuthPoolCore.Exchange> = []

    var isFree: Bool { running.count < capacity }

    init(core: AuthPoolCore, forgetsCancelled: Bool, capacity: Int) {
        self.core = core
        self.forgetsCancelled = forgetsCancelled
        self.capacity = capacity
    }

    func send(_ message: AuthClientMessage) {
        guard let channel else { return }
        var line = message.line
        channel.writeAndFlush(ByteBuffer(bytes: line), promise: nil)
        wipe(&line)
    }

    /// False when the peer does not speak the protocol; the connection is then closed.
    func receive(_ line: [UInt8]) -> Bool {
        guard let message = AuthServerMessage(line: line) else { return false }
        switch message {
        case .version(let major, _):
            sawVersion = true
            return major == AuthProtocol.majorVersion
        case .mechanism(let mechanism):
            guard !isReady, mechanisms.count < 100 else { return false }
            mechanisms.append(mechanism)
        case .done:
            guard sawVersion, !isReady else { return false }
            isReady = true
            // Before `channel` is set, the pool learns it from `adopt`.
            if channel != nil { core?.becameReady(self) }
        case .ok(let id, let parameters):
            answer(id, .success(username: printableLogin(parameters["user"] ?? "")), parameters)
        case .challenge(let id, let data, let parameters): answer(id, .challenge(data), parameters)
        case .fail(let id, let parameters): answer(id, Self.failure(parameters), parameters)
        case .processID, .connectionID, .cookie, .unknown: break
        }
        return true
    }

    func lost() { core?.lost(self) }

    private func answer(_ id: UInt32, _ step: AuthenticationStep, _ parameters: AuthParameters) {
        core?.receive(Answer(id: id, step: step, log: parameters.all("x-log")), from: self)
    }

    /// `temp`, or the newer `code=temp_fail`, is trouble of the back end; everything else is the client's.
    static func failure(_ parameters: AuthParameters) -> AuthenticationStep {
        let reason = parameters["reason"] ?? "(reason unavailable)"
        let username = parameters["user"].map(printableLogin)
        let isTemporary = parameters.contains("temp") || parameters["code"] == "temp_fail"
        return isTemporary ? .unavailable(reason: reason, username: username) : .rejected(reason: reason, username: username)
    }
}

/// A login name as logs and headers may show it: control characters and broken UTF-8 as `?`.
func printableLogin(_ name: String) -> String {
    func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) && scalar != "\u{FFFD}"
    }
    if name.unicodeScalars.allSatisfy(isPrintable) { return name }
    var out = String.UnicodeScalarView()
    for scalar in name.unicodeScalars { out.append(isPrintable(scalar) ? scalar : "?") }
    return String(out)
}

/// Bytes to lines, both ways.
final class AuthConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: BackEndConnection
    private var lines = AuthLineBuffer()
    private var handshakeDeadline: Scheduled<Void>?

    init(_ connection: BackEndConnection) { self.connection = connection }

    func channelActive(context: ChannelHandlerContext) {
        let hello: [AuthClientMessage] = [
            .version(major: AuthProtocol.majorVersion, minor: AuthProtocol.minorVersion), .processID(Int(currentProcessID())),
        ]
        context.writeAndFlush(NIOAny(ByteBuffer(bytes: hello.flatMap(\.line))), promise: nil)
        let bound = NIOLoopBound((context, connection), eventLoop: context.eventLoop)
        handshakeDeadline = context.eventLoop.scheduleTask(in: .seconds(30)) {
            let (context, connection) = bound.value
            if !connection.isReady { context.close(promise: nil) }
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lines.append(unwrapInboundIn(data).readableBytesView)
        do {
            while let line = try lines.next() {
                guard connection.receive(line) else { return context.close(promise: nil) }
            }
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        handshakeDeadline?.cancel()
        connection.lost()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
