import SMTPCore
import Tables

/// What a table of `check_*_access` (or a policy service) answered, taken apart (access(5)).
enum AccessAction: Sendable, Hashable {
    case ok
    case dunno
    /// A 4xx or 5xx code; nil where a parameter has it.
    case reject(code: Int?, status: EnhancedStatusCode?, text: String)
    case `defer`(status: EnhancedStatusCode?, text: String)
    case deferIfPermit(status: EnhancedStatusCode?, text: String)
    case deferIfReject(status: EnhancedStatusCode?, text: String)
    case info(String)
    case warn(String)
    case prepend(String)
    case hold(String)
    case discard(String)
    case filter(String)
    case redirect(String)
    case blindCopy(String)
    case hangUp(String)
    /// Restrictions to evaluate in place.
    case restrictions(String)
    case empty

    init(_ value: String) {
        let text = ListText.trimmed(value)
        if text.isEmpty {
            self = .empty
            return
        }
        let word = text.prefix { !$0.isWhitespace }
        let rest = ListText.trimmed(text.dropFirst(word.count))
        switch word.uppercased() {
        case "OK", "RELAY": self = .ok
        case "DUNNO": self = .dunno
        case "REJECT":
            let (status, text) = Self.status(rest)
            self = .reject(code: nil, status: status, text: text)
        case "DEFER":
            let (status, text) = Self.status(rest)
            self = .defer(status: status, text: text)
        case "DEFER_IF_PERMIT":
            let (status, text) = Self.status(rest)
            self = .deferIfPermit(status: status, text: text)
        case "DEFER_IF_REJECT":
            let (status, text) = Self.status(rest)
            self = .deferIfReject(status: status, text: text)
        case "INFO": self = .info(rest)
        case "WARN": self = .warn(rest)
        case "PREPEND": self = .prepend(rest)
        case "HOLD": self = .hold(rest)
        case "DISCARD": self = .discard(rest)
        case "FILTER": self = .filter(rest)
        case "REDIRECT": self = .redirect(rest)
        case "BCC": self = .blindCopy(rest)
        case "HANGUP": self = .hangUp(rest)
        default:
            if text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
                self = .ok
            } else if word.utf8.count == 3, let code = Int(word), (400...599).contains(code) {
                let (status, text) = Self.status(rest)
                self = .reject(code: code, status: status, text: text)
            } else {
                self = .restrictions(text)
            }
        }
    }

    /// An enhanced status code at the front of `text`, and what follows it.
    private static func status(_ text: String) -> (EnhancedStatusCode?, String) {
        let word = text.prefix { !$0.isWhitespace }
        guard let status = EnhancedStatusCode(word) else { return (nil, text) }
        return (status, ListText.trimmed(text.dropFirst(word.count)))
    }
}
