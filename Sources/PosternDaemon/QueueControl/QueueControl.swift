import Dispatch
import Glibc
import MailLog
import NIOCore
import SMTPCore
package import Spool

/// The queue role's ear for `postern queue`: a unix socket that only root and the mail owner can open.
///
/// One request a connection: a line, then `OK` or `ERROR text` and the payload, until the connection is closed.
final class QueueControlServer: Sendable {
    private let listening: CInt
    private let spool: Spool
    private let queue = DispatchQueue(label: "postern.queue-control")
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
        queue.async {
            while let connection = UnixSocket.accept(on: self.listening) {
                self.serve(connection)
                close(connection)
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
        var begun = false
        do {
            try QueueResponder(spool: spool).respond(to: request) { text in
                defer { begun = true }
                return UnixSocket.write(begun ? text : "OK\n" + text, to: connection)
            }
            if !begun { _ = UnixSocket.write("OK\n", to: connection) }
        } catch {
            _ = UnixSocket.write(begun ? "\nERROR \(error)\n" : "ERROR \(error)\n", to: connection)
        }
    }
}

/// Carries out queue requests on an open spool: in the queue role, or in `postern queue` itself while the server is down.
package struct QueueResponder {
    private let spool: Spool
    private static let page = 500

    package init(spool: Spool) { self.spool = spool }

    /// `output` gets the answer piece by piece and returns false when nobody listens any more.
    package func respond(to request: QueueRequest, output: (String) -> Bool) throws(SpoolError) {
        switch request {
        case .list(let json): try list(json: json, output: output)
        case .show(let id): try show(id, output: output)
        case .perform(let operation, let selection):
            let count = try spool.perform(operation, on: selection)
            _ = output("\(operation): \(count) message\(count == 1 ? "" : "s")\n")
        case .status: _ = output(Self.text(of: try spool.status()))
        }
    }

    private func list(json: Bool, output: (String) -> Bool) throws(SpoolError) {
        var (count, bytes) = (0, 0)
        var last: QueueID?
        while true {
            let page = try spool.list(after: last, limit: Self.page)
            let head = !json && count == 0 && !page.isEmpty ? QueueReport.header : ""
            guard output(head + page.map { json ? QueueReport.json($0) : QueueReport.text($0) }.joined()) else { return }
            count += page.count
            bytes += page.reduce(0) { $0 + $1.size }
            guard page.count == Self.page else { break }
            last = page.last?.id
        }
        if !json { _ = output(count == 0 ? QueueReport.empty : QueueReport.trailer(bytes: bytes, count: count)) }
    }

    private func show(_ id: QueueID, output: (String) -> Bool) throws(SpoolError) {
        let (listing, content) = try spool.message(id)
        guard output(QueueReport.text(listing) + "\n") else { return }
        var offset = 0
        while offset < content.size {
            let piece: String
            do { piece = String(buffer: try content.read(offset: offset, length: min(65_536, content.size - offset))) } catch {
                throw SpoolError.damaged("\(error)")
            }
            guard output(piece) else { return }
            offset += 65_536
        }
    }

    private static func text(of status: SpoolStatus) -> String {
        var lines = [
            "active: \(status.active)", "ready: \(status.ready)", "deferred: \(status.deferred)", "hold: \(status.held)",
            "segments: \(status.segments)", "journal bytes: \(status.journalBytes)", "accepting: \(status.isAccepting ? "yes" : "no")",
            "clock trusted: \(status.clockIsTrusted ? "yes" : "no")", "accepted: \(status.accepted)", "flushes: \(status.flushes)",
        ]
        lines += status.damages.map { "damage: \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }
}
