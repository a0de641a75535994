import Cleanup
import MailLog
import Resolver
import Restrictions
import SMTPCore
import Settings
import Tables

/// A text of `smtpd_reject_footer`: what is added to each reply that refuses.
///
/// `\n` starts a new line; a text that begins with `\c` goes on in the reply's own last line. Facts of the session stand in each line as
/// parameters do in main.cf: `$name`, `${name?text}`, `${name?{text}:{text}}`, `${{text} == {text} ? {text} : {text}}`.
struct RejectFooter: Sendable, Hashable {
    /// Goes on in the last line of the reply.
    let continuesLine: Bool
    private let lines: [String]

    /// nil for an empty text.
    init?(_ template: String) {
        guard !template.isEmpty else { return nil }
        continuesLine = template.hasPrefix("\\c")
        lines = Self.lines(of: Array(template.utf8).dropFirst(continuesLine ? 2 : 0))
    }

    private static func lines(of template: ArraySlice<UInt8>) -> [String] {
        var lines: [String] = []
        var start = template.startIndex
        var index = start
        while index + 1 < template.endIndex {
            guard template[index] == UInt8(ascii: "\\"), template[index + 1] == UInt8(ascii: "n") else {
                index += 1
                continue
            }
            lines.append(String(decoding: template[start..<index], as: UTF8.self))
            index += 2
            start = index
        }
        return lines + [String(decoding: template[start...], as: UTF8.self)]
    }

    /// What keeps the text from being expanded, whatever the values are.
    var problem: String? {
        for line in lines {
            // Both ways of every condition.
            for value in ["", "1"] {
                var expander = Expander { _ in value }
                do throws(ExpansionError) { _ = try expander.expand(line) } catch { return error.message }
            }
        }
        return nil
    }

    /// `reply` with the footer; `value` gives a name's text, which is not expanded again.
    /// - Throws: the text means nothing.
    func appended(to reply: Reply, value: @escaping (String) -> String) throws(ExpansionError) -> Reply {
        var added: [String] = []
        for line in lines {
            var expander = Expander { Self.harmless(value($0)) }
            added.append(try expander.expand(line))
        }
        var reply = reply
        if continuesLine, let last = reply.lines.popLast() { added[0] = last + added[0] }
        reply.lines += added
        return reply
    }

    /// What a client chose as text of a reply, and for the expander: nothing that ends a line, and no reference.
    private static func harmless(_ text: String) -> String {
        String(decoding: text.utf8.map { (0x20..<0x7F).contains($0) || $0 == 0x09 ? $0 : UInt8(ascii: "_") }, as: UTF8.self)
            .replacing("$", with: "$$")
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
        guard let footer else { return reply }
        do throws(ExpansionError) {
            return try footer.appended(to: reply, value: footerValue)
        } catch {
            log.warning("smtpd_reject_footer_maps: \(error.message)")
            return reply
        }
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
