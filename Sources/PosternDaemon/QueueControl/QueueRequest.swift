package import SMTPCore
package import Spool

/// What `postern queue` asks of the queue: one line of text on the control socket, or a call when the server is down.
package enum QueueRequest: Sendable, Hashable {
    /// Every message, as `mailq` prints them or one JSON object a line.
    case list(json: Bool)
    /// Envelope and content of one message.
    case show(QueueID)
    /// The message itself, byte for byte, with its envelope as header lines before it.
    case export(QueueID)
    /// Every byte of the queue against its checksum.
    case verify(json: Bool)
    /// The same, and whatever damage is found is known from then on.
    case acknowledge(json: Bool)
    case perform(QueueOperation, QueueSelection)
    case status

    package var line: String {
        switch self {
        case .list(let json): json ? "list json" : "list text"
        case .show(let id): "show \(id)"
        case .export(let id): "export \(id)"
        case .verify(let json): json ? "verify json" : "verify text"
        case .acknowledge(let json): json ? "acknowledge json" : "acknowledge text"
        case .perform(let operation, .all): "\(operation) ALL"
        case .perform(let operation, .message(let id)): "\(operation) \(id)"
        case .status: "status"
        }
    }

    package init?(line: some StringProtocol) {
        let words = String(line).split(separator: " " as Character).map(String.init)
        switch (words.first, words.count) {
        case ("list", 2) where words[1] == "json" || words[1] == "text": self = .list(json: words[1] == "json")
        case ("show", 2):
            guard let id = QueueID(words[1]) else { return nil }
            self = .show(id)
        case ("export", 2):
            guard let id = QueueID(words[1]) else { return nil }
            self = .export(id)
        case ("verify", 2) where words[1] == "json" || words[1] == "text": self = .verify(json: words[1] == "json")
        case ("acknowledge", 2) where words[1] == "json" || words[1] == "text": self = .acknowledge(json: words[1] == "json")
        case ("status", 1): self = .status
        case (let verb?, 2):
            let operations: [QueueOperation] = [.hold, .release, .requeue, .flush, .delete]
            guard let operation = operations.first(where: { "\($0)" == verb }) else { return nil }
            if words[1] == "ALL" {
                self = .perform(operation, .all)
            } else if let id = QueueID(words[1]) {
                self = .perform(operation, .message(id))
            } else {
                return nil
            }
        default: return nil
        }
    }
}
