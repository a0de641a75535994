import DequeModule
package import SMTPCore

/// What was said in a session, for a notice to the postmaster: commands and replies, never content, never the secrets of AUTH. Confined to the
/// session's loop.
///
/// Bounded whatever the other side sends: the beginning and the end are kept, and of a long line its beginning.
package final class SessionTranscript {
    package enum Direction: Sendable {
        case incoming, outgoing

        fileprivate var label: String {
            switch self {
            case .incoming: " In:  "
            case .outgoing: " Out: "
            }
        }
    }

    /// `lost connection`, `timeout`, `too many errors`: why the session ended, if not in order.
    package var abortReason: String?
    /// What has happened so far.
    package var events: NoticeClasses = []

    private var redaction = CommandRedaction()
    private var head = ""
    private var tail = Deque<String>()
    private var tailSize = 0
    private var leftOut = 0

    package static let headLimit = 4 * 1024
    package static let tailLimit = 12 * 1024
    package static let lineLimit = 512
    private static let foldColumn = 79

    package init() {}

    /// A recording that begins in the middle of a session.
    package init(beginningWith known: String) {
        append(known + "\n")
    }

    package func command(_ bytes: some Collection<UInt8>, _ direction: Direction = .incoming) {
        record(direction, redaction.shown(bytes.prefix(Self.lineLimit)))
    }

    /// A line of an AUTH exchange.
    package func secret(_ direction: Direction = .incoming) { record(direction, CommandRedaction.hidden) }

    package func reply(_ reply: Reply) {
        if reply.code == 235 { redaction.authenticated() }
        for (index, line) in reply.lines.enumerated() {
            let separator = index == reply.lines.count - 1 ? " " : "-"
            let text = reply.code == 334 ? "..." : line
            record(.outgoing, "\(reply.code)\(separator)\(reply.status.map { "\($0) " } ?? "")\(text)".utf8.prefix(Self.lineLimit))
        }
    }

    package func reply(_ reply: ServerReply) {
        if reply.code == 235 { redaction.authenticated() }
        for line in reply.text.utf8.split(separator: UInt8(ascii: "\n")) {
            record(.incoming, reply.code == 334 ? Array("334 ...".utf8) : Array(line.prefix(Self.lineLimit)))
        }
    }

    private func record(_ direction: Direction, _ text: some Sequence<UInt8>) {
        append(Self.folded(direction.label, text))
    }

    /// Everything until ``headLimit`` is reached, from then on the latest.
    private func append(_ line: String) {
        if tail.isEmpty, leftOut == 0, head.utf8.count + line.utf8.count <= Self.headLimit {
            head += line
            return
        }
        tail.append(line)
        tailSize += line.utf8.count
        while tailSize > Self.tailLimit, let oldest = tail.popFirst() {
            tailSize -= oldest.utf8.count
            leftOut += 1
        }
    }

    /// Its lines, each with LF.
    package var text: String {
        head + (leftOut == 0 ? "" : "     (\(leftOut) lines are left out here)\n") + tail.joined()
    }

    /// One entry as lines of at most ``foldColumn`` characters, where it has blanks to fold at. Printable ASCII; all else becomes `?`.
    private static func folded(_ label: String, _ text: some Sequence<UInt8>) -> String {
        let plain = String(decoding: text.map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
        var out = label
        if label.utf8.count + plain.utf8.count <= foldColumn { return out + plain + "\n" }
        var column = label.utf8.count
        var isFirst = true
        for word in plain.split(separator: " ", omittingEmptySubsequences: false) {
            if !isFirst, column + 1 + word.utf8.count > foldColumn {
                out += "\n     "
                column = 5
            } else if !isFirst {
                out += " "
                column += 1
            }
            out += word
            column += word.utf8.count
            isFirst = false
        }
        return out + "\n"
    }
}
