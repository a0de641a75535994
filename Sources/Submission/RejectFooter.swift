import Cleanup
import MailLog
import Resolver
import Restrictions
import SMTPCore
import Tables

/// A text of `smtpd_reject_footer`: what is added to each reply that refuses.
///
/// `\n` starts a new line; a text that begins with `\c` goes on in the reply's own last line. `$name`, `${name}` and `$(name)` stand for
/// facts of the session.
struct RejectFooter: Sendable, Hashable {
    enum Piece: Sendable, Hashable {
        case text(String)
        case newLine
        case name(String)
    }

    /// Goes on in the last line of the reply.
    let continuesLine: Bool
    let pieces: [Piece]

    /// nil for an empty text.
    init?(_ template: String) {
        guard !template.isEmpty else { return nil }
        continuesLine = template.hasPrefix("\\c")
        pieces = Self.parse(Array(template.utf8).dropFirst(continuesLine ? 2 : 0))
    }

    private static func parse(_ template: ArraySlice<UInt8>) -> [Piece] {
        var pieces: [Piece] = []
        var text: [UInt8] = []
        var rest = template
        func endText() {
            if !text.isEmpty { pieces.append(.text(String(decoding: text, as: UTF8.self))) }
            text = []
        }
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "n") {
                rest = rest.dropFirst()
                endText()
                pieces.append(.newLine)
            } else if byte == UInt8(ascii: "$"), rest.first == UInt8(ascii: "$") {
                rest = rest.dropFirst()
                text.append(byte)
            } else if byte == UInt8(ascii: "$"), let name = takeName(&rest) {
                endText()
                pieces.append(.name(name))
            } else {
                text.append(byte)
            }
        }
        endText()
        return pieces
    }

    /// What follows a `$`: `name`, `{name}` or `(name)`. nil when it is none of these; the `$` is then text.
    private static func takeName(_ rest: inout ArraySlice<UInt8>) -> String? {
        let close: UInt8? = rest.first == UInt8(ascii: "{") ? UInt8(ascii: "}") : rest.first == UInt8(ascii: "(") ? UInt8(ascii: ")") : nil
        let body = close == nil ? rest : rest.dropFirst()
        let name = body.prefix { $0 == UInt8(ascii: "_") || $0.isASCIILetter || $0.isASCIIDigit }
        guard !name.isEmpty else { return nil }
        let after = body[name.endIndex...]
        if let close {
            guard after.first == close else { return nil }
            rest = after.dropFirst()
        } else {
            rest = after
        }
        return String(decoding: name, as: UTF8.self)
    }

    /// `reply` with the footer; `value` gives a name's text. What could end a line of the reply becomes `?`.
    func appended(to reply: Reply, value: (String) -> String) -> Reply {
        var lines = [""]
        for piece in pieces {
            switch piece {
            case .text(let text): lines[lines.count - 1] += text
            case .newLine: lines.append("")
            case .name(let name): lines[lines.count - 1] += Session.printable(value(name).utf8)
            }
        }
        var reply = reply
        if continuesLine, let last = reply.lines.popLast() { lines[0] = last + lines[0] }
        reply.lines += lines
        return reply
    }
}

extension Session {
    /// `reply` with `smtpd_reject_footer`, or what `smtpd_reject_footer_maps` has for its text.
    /// - Parameter original: the reply before `soft_bounce`, which is what the tables hold.
    @inline(never)
    func withFooter(_ reply: Reply, of original: Reply) async -> Reply {
        var footer = policy.rejectFooter.text
        if !policy.rejectFooter.maps.isEmpty {
            switch await policy.rejectFooter.maps.lookup(original.logText) {
            case .found(let template): footer = RejectFooter(template)
            case .notFound: break
            case .failed(let reason): log.warning("\(reason) for \"\(original.logText)\"")
            }
        }
        return footer?.appended(to: reply, value: footerValue) ?? reply
    }

    private func footerValue(_ name: String) -> String {
        switch name {
        case "client": return clientText
        case "client_address": return addressText
        case "client_name": return facts.peerName.name
        case "client_port": return "\(clientPort)"
        case "helo_name": return facts.heloName ?? ""
        case "localtime": return MailTime.now().logTime
        // The first one accepted, as in Postfix: the one that is just being refused stands in the reply anyway.
        case "recipient": return transaction?.firstRecipient?.description ?? ""
        case "sender": return transaction?.sender.description ?? ""
        case "server_name": return policy.host
        default:
            log.warning("unknown macro name \"\(name)\" in expansion request")
            return ""
        }
    }
}
