import Dispatch
import Glibc
import MailLog
import NIOCore
import SMTPCore
import Spool

/// The queue role's ear for `postern queue`: a unix socket that only root and the mail owner can open.
///
/// One request a connection: a line, then `OK`, `DAMAGE` or `ERROR text` and the payload, until the connection is closed.
final class QueueControlServer: Sendable {
    private let listening: CInt
    private let spool: Spool
    /// Requests are served side by side, since reading all of a large queue takes its time; a few at once.
    ///
    /// Threads of our own, not a concurrent DispatchQueue: libdispatch looks after the threads of its pool in /proc once a second while work
    /// waits for one, and ends the process with a trap when it cannot read there, which a confined role cannot.
    private let workers = WorkerPool(threads: QueueControlServer.requestLimit)
    private let places = DispatchSemaphore(value: QueueControlServer.requestLimit)
    private static let requestLimit = 8
    private let onFlush: @Sendable () -> Void

    static func path(queueDirectory: String) -> String { "\(queueDirectory)/control/queue" }

    /// - Parameter onFlush: called before messages are tried at an administrator's request: destinations found dead get another chance, too.
    init(queueDirectory: String, spool: Spool, onFlush: @escaping @Sendable () -> Void) throws(SystemError) {
        let path = Self.path(queueDirectory: queueDirectory)
        self.listening = try UnixSocket.listen(at: path)
        self.spool = spool
        self.onFlush = onFlush
    }

    func start() {
        // Until the process ends.
        _ = PlainThread {
            while let connection = UnixSocket.accept(on: self.listening) {
                self.places.wait()
                self.workers.submit {
                    self.serve(connection)
                    close(connection)
                    self.places.signal()
                }
            }
        }
    }

    private func serve(_ connection: CInt) {
        UnixSocket.setTimeLimits(connection, seconds: 10)
        let line = String(decoding: UnixSocket.read(from: connection).prefix(256), as: UTF8.self)
        guard line.hasSuffix("\n"), let request = QueueRequest(line: line.dropLast()) else {
            _ = UnixSocket.write("ERROR malformed request\n", to: connection)
            return
        }
        if case .perform(let operation, _) = request, operation == .flush || operation == .requeue { onFlush() }
        let answer = ControlAnswer(connection)
        do {
            try QueueResponder(spool: spool).respond(to: request, output: answer)
            answer.end()
        } catch {
            answer.end(with: error)
        }
    }
}

/// An answer on its way to `postern queue`.
private final class ControlAnswer: QueueResponder.Output {
    private let connection: CInt
    private var hasVerdict = false

    init(_ connection: CInt) { self.connection = connection }

    func verdict(isSound: Bool) {
        guard !hasVerdict else { return }
        hasVerdict = true
        _ = UnixSocket.write(isSound ? "OK\n" : "DAMAGE\n", to: connection)
    }

    func write(_ bytes: ByteBuffer) -> Bool {
        verdict(isSound: true)
        return UnixSocket.write(bytes.readableBytesView, to: connection)
    }

    func end() { verdict(isSound: true) }

    func end(with error: SpoolError) {
        _ = UnixSocket.write(hasVerdict ? "\nERROR \(error)\n" : "ERROR \(error)\n", to: connection)
        hasVerdict = true
    }
}
