import NIOCore
import SMTPCore

/// Writes a delivery status notification, of failure, delay or success: a multipart/report of RFC 3464, or of RFC 6533 for a message
/// that was sent with SMTPUTF8, in Postfix's layout.
struct BounceMessage {
    enum Kind: Sendable, Hashable {
        case failure, delay, success
    }

    struct Entry: Sendable, Hashable {
        var recipient: Recipient
        var result: RecipientResult
    }

    /// The message that this is about.
    var original: QueueID
    var envelope: Envelope
    var arrival: Double
    var kind: Kind
    var entries: [Entry]
    var hasExpired: Bool
    /// The whole message, or its header where `isHeaderOnly`.
    var returned: ByteBuffer
    var isHeaderOnly: Bool
    var recipient: Address
    var isForPostmaster: Bool
    var settings: BounceSettings

    private var isGlobal: Bool { envelope.needsUTF8 }

    /// - Parameter now: seconds since 1970.
    func write(id: QueueID, now: Double, messageID: String) -> ByteBuffer {
        let boundary = "\(original).\(Int(min(max(now, 0), 253_402_300_799)))/\(settings.myHostname)"
        let returnsEightBit = returned.readableBytesView.contains { $0 >= 0x80 }
        let isEightBit = returnsEightBit || isGlobal
        var out = ByteBufferAllocator().buffer(capacity: returned.readableBytes + 2048 + entries.count * 512)
        func line(_ text: String = "") { out.writeString(text + "\r\n") }
        writeHeader(line, id: id, now: now, boundary: boundary, messageID: messageID, encoding: isEightBit ? "8bit" : "7bit")
        line("This is a MIME-encapsulated message.")
        line()
        line("--\(boundary)")
        writeNotification(line)
        line("--\(boundary)")
        writeReport(line)
        line("--\(boundary)")
        line("Content-Description: \(kind == .success ? "" : "Undelivered ")Message\(isHeaderOnly ? " Headers" : "")")
        line("Content-Type: \(returnedType)")
        line("Content-Transfer-Encoding: \(isEightBit ? "8bit" : "7bit")")
        line()
        line("Return-Path: <\(envelope.sender)>")
        out.writeImmutableBuffer(returned)
        if returned.readableBytesView.last != UInt8(ascii: "\n") { out.writeStaticString("\r\n") }
        out.writeString("\r\n--\(boundary)--\r\n")
        return out
    }

    private var returnedType: String {
        if isGlobal { return isHeaderOnly ? "message/global-headers" : "message/global" }
        return isHeaderOnly ? "text/rfc822-headers" : "message/rfc822"
    }

    private var subject: String {
        switch kind {
        case .failure: isForPostmaster ? "Postmaster Copy: Undelivered Mail" : "Undelivered Mail Returned to Sender"
        case .delay: isForPostmaster ? "Postmaster Warning: Delayed Mail" : "Delayed Mail (still being retried)"
        case .success: "Successful Mail Delivery Report"
        }
    }

    private func writeHeader(_ line: (String) -> Void, id: QueueID, now: Double, boundary: String, messageID: String, encoding: String) {
        let date = MailDate.header(now)
        line("Received: by \(settings.myHostname) (\(settings.mailName))")
        line("\tid \(id); \(date)")
        line("Date: \(date)")
        line("From: Mail Delivery System <MAILER-DAEMON@\(settings.myHostname)>")
        line("Subject: \(subject)")
        line("To: \(recipient)")
        line("Auto-Submitted: \(isForPostmaster ? "auto-generated" : "auto-replied")")
        line("MIME-Version: 1.0")
        line("Content-Type: multipart/report; report-type=delivery-status;")
        line("\tboundary=\"\(boundary)\"")
        line("Message-Id: \(messageID)")
        line("Content-Transfer-Encoding: \(encoding)")
        line("")
    }

    private func writeNotification(_ line: (String) -> Void) {
        line("Content-Description: Notification")
        line("Content-Type: text/plain; charset=\(isGlobal ? "utf-8" : "us-ascii")")
        if isGlobal { line("Content-Transfer-Encoding: 8bit") }
        line("")
        line("This is the mail server \(settings.myHostname).")
        line("")
        switch kind {
        case .failure: writeFailures(line)
        case .delay: writeDelays(line)
        case .success: writeSuccesses(line)
        }
        if kind == .failure, isForPostmaster { return }
        line("\(isHeaderOnly ? "The header of the message" : "The message") is attached. If you need help, write to postmaster")
        line("and include this report.")
        line("")
    }

    private func writeFailures(_ line: (String) -> Void) {
        if isForPostmaster {
            for entry in entries { writeReason(entry, line) }
            return
        }
        line(
            hasExpired
                ? "Your message could not be delivered in the time allowed for it;"
                : "Your message could not be delivered to the recipients below;"
        )
        line(hasExpired ? "no more attempts will be made. These recipients did not get it:" : "it was not sent to them again.")
        line("")
        for entry in entries { writeReason(entry, line) }
    }

    private func writeReason(_ entry: Entry, _ line: (String) -> Void) {
        for wrapped in wrapped("<\(entry.recipient.original ?? entry.recipient.address)>: \(entry.result.text)") { line(wrapped) }
        line("")
    }

    private func writeDelays(_ line: (String) -> Void) {
        line("THIS IS A WARNING ONLY. There is no need to send \(isForPostmaster ? "anything" : "your message") again.")
        line("")
        line("\(isForPostmaster ? "The" : "Your") message of \(MailDate.header(arrival))")
        line("has not been delivered yet to the recipients below. More attempts will be")
        line("made until \(MailDate.header(retriesEnd)).")
        line("")
        for entry in entries { writeReason(entry, line) }
    }

    /// When the message is given up if nobody takes it.
    private var retriesEnd: Double { arrival + settings.maximalQueueLifetime }

    private func writeSuccesses(_ line: (String) -> Void) {
        line("As you have asked to be told: your message was handed on for the")
        line("recipients below. Unless it went to a mailbox, other servers may still")
        line("report that they could not deliver it.")
        line("")
        for success in entries {
            let way = success.result.remoteMTA.map { "delivery via \($0): " } ?? ""
            let text = "<\(success.recipient.original ?? success.recipient.address)>: \(way)\(success.result.text)"
            for wrapped in wrapped(text) { line(wrapped) }
            line("")
        }
    }

    private func writeReport(_ line: (String) -> Void) {
        line("Content-Description: Delivery report")
        line("Content-Type: message/\(isGlobal ? "global-" : "")delivery-status")
        if isGlobal { line("Content-Transfer-Encoding: 8bit") }
        line("")
        line("Reporting-MTA: dns; \(settings.myHostname)")
        if !envelope.envelopeID.isEmpty { line("Original-Envelope-Id: \(envelope.envelopeID)") }
        line("X-Postfix-Queue-ID: \(original)")
        line("X-Postfix-Sender: \(typed(envelope.sender))")
        line("Arrival-Date: \(MailDate.header(arrival))")
        for entry in entries { writeEntry(entry, line) }
        line("")
    }

    private func writeEntry(_ entry: Entry, _ line: (String) -> Void) {
        let action =
            switch kind {
            case .failure: "failed"
            case .delay: "delayed"
            case .success: entry.result.successAction
            }
        line("")
        line("Final-Recipient: \(typed(entry.recipient.address))")
        line("Original-Recipient: \(originalRecipient(entry.recipient))")
        line("Action: \(action)")
        line("Status: \(entry.result.dsn)")
        if let host = entry.result.remoteMTA { line("Remote-MTA: dns; \(host)") }
        let diagnostic = entry.result.diagnostic.map { "smtp; \($0)" } ?? "X-Postfix; \(entry.result.text)"
        for wrapped in wrapped("Diagnostic-Code: \(diagnostic)") { line(wrapped) }
        if kind == .delay { line("Will-Retry-Until: \(MailDate.header(retriesEnd))") }
    }

    /// An address with its type; beyond ASCII it is of type utf-8, written out or, in a report of ASCII, as RFC 6533 section 3 has it.
    private func typed(_ address: Address) -> String {
        guard address.isBeyondASCII else { return "rfc822; \(Self.ascii(address.description))" }
        return "utf-8; \(isGlobal ? address.description : XText.encodedUnitext(address.description))"
    }

    private func originalRecipient(_ recipient: Recipient) -> String {
        let text = recipient.reportedOriginal
        if isGlobal || text.utf8.allSatisfy({ $0 < 0x80 }) { return text }
        return text.lowercased().hasPrefix("utf-8;") ? OriginalRecipient.encoded(text) : Self.ascii(text)
    }

    private func wrapped(_ text: String) -> [String] { Self.wrapped(isGlobal ? text : Self.ascii(text)) }

    /// Lines of at most 78 bytes where blanks allow it, later ones indented: a folded header and a readable paragraph alike.
    static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        var current = ""
        for word in text.split(separator: " ") {
            if !current.isEmpty, current.utf8.count + 1 + word.utf8.count > 78 {
                lines.append(current)
                current = "    \(word)"
            } else {
                current += current.isEmpty ? "\(word)" : " \(word)"
            }
        }
        // No line may exceed what SMTP allows (RFC 5321 section 4.5.3.1.6), blanks or not.
        return (lines + [current]).flatMap { line in
            line.utf8.count <= 900
                ? [line]
                : stride(from: 0, to: line.utf8.count, by: 900).map { start in
                    (start == 0 ? "" : "    ") + String(decoding: Array(line.utf8.dropFirst(start).prefix(900)), as: UTF8.self)
                }
        }
    }

    /// Reports are plain ASCII: other bytes and control characters become `?`.
    static func ascii(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 < 0x20 || $0 >= 0x7F }) else { return text }
        return String(decoding: text.utf8.map { $0 < 0x20 || $0 >= 0x7F ? UInt8(ascii: "?") : $0 }, as: UTF8.self)
    }
}
