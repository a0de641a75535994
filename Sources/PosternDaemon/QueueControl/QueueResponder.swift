package import NIOCore
import SMTPCore
package import Spool

/// Carries out queue requests on an open spool: in the queue role, or in `postern queue` itself while the server is down.
package struct QueueResponder {
    /// What becomes of the answer, piece by piece.
    package protocol Output: AnyObject {
        /// Before anything else: whether the queue is as it should be, which decides the exit status.
        func verdict(isSound: Bool)
        /// False when nobody listens any more.
        func write(_ bytes: ByteBuffer) -> Bool
    }

    private let spool: Spool
    private static let page = 500

    package init(spool: Spool) { self.spool = spool }

    package func respond(to request: QueueRequest, output: any Output) throws(SpoolError) {
        switch request {
        case .list(let json): try list(json: json, output)
        case .show(let id): try show(id, output)
        case .export(let id): try export(id, output)
        case .perform(let operation, let selection):
            let count = try spool.perform(operation, on: selection)
            _ = output.write("\(operation): \(count) message\(count == 1 ? "" : "s")\n")
        case .status:
            let status = try spool.status()
            output.verdict(isSound: status.damages.isEmpty)
            _ = output.write(Self.text(of: status))
        case .verify(let json): show(spool.verify(), json: json, output)
        case .acknowledge(let json): show(try spool.acknowledgeDamage(), json: json, output)
        }
    }

    private func show(_ report: VerificationReport, json: Bool, _ output: any Output) {
        output.verdict(isSound: report.isSound)
        _ = output.write(json ? QueueReport.json(report) : QueueReport.text(report))
    }

    private func list(json: Bool, _ output: any Output) throws(SpoolError) {
        var (count, bytes) = (0, 0)
        var last: QueueID?
        while true {
            let page = try spool.list(after: last, limit: Self.page)
            let head = !json && count == 0 && !page.isEmpty ? QueueReport.header : ""
            guard output.write(head + page.map { json ? QueueReport.json($0) : QueueReport.text($0) }.joined()) else { return }
            count += page.count
            bytes += page.reduce(0) { $0 + $1.size }
            guard page.count == Self.page else { break }
            last = page.last?.id
        }
        if !json { _ = output.write(count == 0 ? QueueReport.empty : QueueReport.trailer(bytes: bytes, count: count)) }
    }

    private func show(_ id: QueueID, _ output: any Output) throws(SpoolError) {
        let (listing, content) = try spool.message(id)
        guard output.write(QueueReport.text(listing) + "\n") else { return }
        try write(content, output)
    }

    private func export(_ id: QueueID, _ output: any Output) throws(SpoolError) {
        let message = try spool.export(id)
        output.verdict(isSound: message.damages.isEmpty)
        guard output.write(QueueExport.header(message)) else { return }
        try write(message.content, output)
    }

    private func write(_ content: any MessageContent, _ output: any Output) throws(SpoolError) {
        var offset = 0
        while offset < content.size {
            let piece: ByteBuffer
            do { piece = try content.read(offset: offset, length: min(65_536, content.size - offset)) } catch {
                throw SpoolError.damaged("\(error)")
            }
            guard piece.readableBytes > 0, output.write(piece) else { return }
            offset += piece.readableBytes
        }
    }

    private static func text(of status: SpoolStatus) -> String {
        var lines = [
            "active: \(status.active)", "ready: \(status.ready)", "deferred: \(status.deferred)", "hold: \(status.held)",
            "quarantine: \(status.quarantined)", "segments: \(status.segments)", "journal bytes: \(status.journalBytes)",
            "accepting: \(status.isAccepting ? "yes" : "no")", "clock trusted: \(status.clockIsTrusted ? "yes" : "no")",
            "accepted: \(status.accepted)", "flushes: \(status.flushes)",
        ]
        if status.acknowledgedDamages > 0 { lines.append("acknowledged damages: \(status.acknowledgedDamages)") }
        lines += status.damages.map { "damage: \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension QueueResponder.Output {
    func write(_ text: String) -> Bool { write(ByteBuffer(string: text)) }
}
