import MailLog
import Notices
import Restrictions
import SMTPCore

extension Session {
    /// The queue id once there is one, else `NOQUEUE`.
    var queueName: String { transaction?.queueID.map { "\($0)" } ?? "NOQUEUE" }

    var protocolName: String { isExtended ? "ESMTP" : "SMTP" }

    /// `NOQUEUE: reject: RCPT from NAMADDR: 554 5.7.1 ...; from=<s> to=<r> proto=ESMTP helo=<h>`.
    func logRejection(_ state: String, _ reply: Reply, recipient: Address? = nil, verb: String = "reject") {
        logEvent(verb, state, (policy.softBounce ? reply.softened : reply).logText, recipient: recipient)
    }

    func logEvent(_ verb: String, _ state: String, _ text: String, recipient: Address?) {
        var line = "\(queueName): \(verb): \(state) from \(clientText): \(text);"
        if let transaction { line += " from=<\(transaction.sender)>" }
        if let recipient = recipient ?? onlyRecipient { line += " to=<\(recipient)>" }
        line += " proto=\(protocolName)"
        if let helo = facts.heloName { line += " helo=<\(helo)>" }
        log.info(line)
    }

    /// The lines a decision's rules asked for.
    func logNotices(_ decision: Decision, _ state: String, recipient: Address? = nil) {
        for notice in decision.notices {
            if notice.verb == "warning" {
                log.warning(notice.text)
            } else if notice.verb.isEmpty {
                log.info(notice.text)
            } else {
                let softened = policy.softBounce ? notice.reply?.softened.logText : nil
                logEvent(notice.verb, state, softened ?? notice.text, recipient: recipient)
            }
        }
    }

    /// Runs the lists of `stage`, logs and does what they ask for, and gives back the rejection, if any, after its log line.
    @inline(never)
    func rejection(at stage: RestrictionStage, state: String, recipient: Address? = nil) async -> Decision {
        // Decided at RCPT then; asking the lists would only cost the session the frames of doing so.
        if policy.delayReject, [.connect, .helo, .mail].contains(stage) { return Decision() }
        // A message that is to be dropped is not judged further.
        if transaction?.isDiscarded == true { return Decision() }
        facts.pendingDeferral = pendingDeferral ?? transaction?.pendingDeferral
        facts.recipient = recipient
        var decision = await service.rules.evaluate(stage, facts)
        logNotices(decision, state, recipient: recipient)
        if decision.hangsUp {
            hangUp()
        } else if let reply = decision.rejection {
            logRejection(state, reply, recipient: recipient)
        }
        if let event = SessionEvent(of: decision) { note(event.notice) }
        if !decision.actions.isEmpty, let reply = await apply(decision.actions), decision.rejection == nil { decision.rejection = reply }
        return decision
    }

    /// Commands for the log: of AUTH only the mechanism, and nothing that follows it, which may be the responses.
    static func withoutSecrets(_ bytes: some Collection<UInt8>) -> [UInt8] {
        var out: [UInt8] = []
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            let words = line.split(whereSeparator: \.isBlank)
            if words.count > 1, words[0].elementsEqual("auth".utf8, by: { $0.asciiLowercased == $1 }) {
                return out + line[..<words[1].endIndex] + Array("...".utf8)
            }
            out += line + [UInt8(ascii: "\n")]
        }
        out.removeLast()
        return out
    }

    /// Bytes as log text: control characters and non-ASCII become `?`.
    static func printable(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: bytes.map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }

    /// A login name as log and headers show it: other characters than control characters stay.
    static func printable(login: String) -> String {
        String(String.UnicodeScalarView(login.unicodeScalars.map { $0.isDisruptive ? "?" : $0 }))
    }

    /// Text of a command that has been found to be UTF-8, where that is asked for: control characters become `?`.
    static func shown(_ bytes: some Sequence<UInt8>) -> String {
        String(String.UnicodeScalarView(String(decoding: Array(bytes), as: UTF8.self).unicodeScalars.map { $0.isDisruptive ? "?" : $0 }))
    }

    /// Bytes as log text with C escapes, as Postfix shows data that came too early: `EHLO x\r\n`.
    static func escaped(_ bytes: some Sequence<UInt8>) -> String {
        var out = ""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\n"): out += "\\n"
            case UInt8(ascii: "\r"): out += "\\r"
            case UInt8(ascii: "\t"): out += "\\t"
            case 0x07: out += "\\a"
            case 0x08: out += "\\b"
            case 0x0B: out += "\\v"
            case 0x0C: out += "\\f"
            case UInt8(ascii: "\\"): out += "\\\\"
            case 0x20..<0x7F: out.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let octal = String(byte, radix: 8)
                out += "\\" + String(repeating: "0", count: 3 - octal.utf8.count) + octal
            }
        }
        return out
    }
}
