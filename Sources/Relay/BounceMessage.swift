import NIOCore
import SMTPCore

/// Writes a non-delivery notification: a multipart/report of RFC 3464 in Postfix's layout.
struct BounceMessage {
    struct Failure: Sendable, Hashable {
        var recipient: Recipient
        var result: RecipientResult
    }

    /// The message that could not be delivered.
    var original: QueueID
    var originalSender: Address
    var arrival: Double
    var failures: [Failure]
    var hasExpired: Bool
    /// The whole message, or its header where `isHeaderOnly`.
    var returned: ByteBuffer
    var isHeaderOnly: Bool
    var recipient: Address
    var isForPostmaster: Bool
    var settings: BounceSettings

    /// - Parameter now: seconds since 1970.
    func write(id: QueueID, now: Double, messageID: String) -> ByteBuffer {
        let boundary = "\(original).\(Int(min(max(now, 0), 253_402_300_799)))/\(settings.myHostname)"
        let returnsEightBit = returned.readableBytesView.contains { $0 >= 0x80 }
        var out = ByteBufferAllocator().buffer(capacity: returned.readableBytes + 2048 + failures.count * 512)
        func line(_ text: String = "") { out.writeString(text + "\r\n") }
        writeHeader(line, id: id, now: now, boundary: boundary, messageID: messageID, encoding: returnsEightBit ? "8bit" : "7bit")
        line("This is a MIME-encapsulated message.")
        line()
        line("--\(boundary)")
        writeNotification(line)
        line("--\(boundary)")
        writeReport(line)
        line("--\(boundary)")
        line("Content-Description: Undelivered Message\(isHeaderOnly ? " Headers" : "")")
        line("Content-Type: \(isHeaderOnly ? "text/rfc822-headers" : "message/rfc822")")
        line("Content-Transfer-Encoding: \(returnsEightBit ? "8bit" : "7bit")")
        line()
        line("Return-Path: <\(originalSender)>")
        out.writeImmutableBuffer(returned)
        if returned.readableBytesView.last != UInt8(ascii: "\n") { out.writeStaticString("\r\n") }
        out.writeString("\r\n--\(boundary)--\r\n")
        return out
    }

    private func writeHeader(_ line: (String) -> Void, id: QueueID, now: Double, boundary: String, messageID: String, encoding: String) {
        let date = MailDate.header(now)
        line("Received: by \(settings.myHostname) (\(settings.mailName))")
        line("\tid \(id); \(date)")
        line("Date: \(date)")
        line("From: Mail Delivery System <MAILER-DAEMON@\(settings.myHostname)>")
        line("Subject: \(isForPostmaster ? "Postmaster Copy: Undelivered Mail" : "Undelivered Mail Returned to Sender")")
        line("To: \(recipient)")
        line("Auto-Submitted: auto-replied")
        line("MIME-Version: 1.0")
        line("Content-Type: multipart/report; report-type=delivery-status;")
        line("\tboundary=\"\(boundary)\"")
        line("Message-Id: \(messageID)")
        line("Content-Transfer-Encoding: \(encoding)")
        line("")
    }

    private func writeNotification(_ line: (String) -> Void) {
        line("Content-Description: Notification")
        line("Content-Type: text/plain; charset=us-ascii")
        line("")
        line("This is the mail server \(settings.myHostname).")
        line("")
        line(
            hasExpired
                ? "Your message could not be delivered in the time allowed for it;"
                : "Your message could not be delivered to the recipients below;"
        )
        line(hasExpired ? "no more attempts will be made. These recipients did not get it:" : "it was not sent to them again.")
        line("")
        for failure in failures {
            let text = "<\(failure.recipient.original ?? failure.recipient.address)>: \(failure.result.text)"
            for wrapped in Self.wrapped(text) { line(wrapped) }
            line("")
        }
        line("\(isHeaderOnly ? "The header of the message" : "The message") is attached. If you need help, write to postmaster")
        line("and include this report.")
        line("")
    }

    private func writeReport(_ line: (String) -> Void) {
        line("Content-Description: Delivery report")
        line("Content-Type: message/delivery-status")
        line("")
        line("Reporting-MTA: dns; \(settings.myHostname)")
        line("X-Postfix-Queue-ID: \(original)")
        line("X-Postfix-Sender: rfc822; \(Self.ascii(originalSender.description))")
        line("Arrival-Date: \(MailDate.header(arrival))")
        for failure in failures {
            line("")
            line("Final-Recipient: rfc822; \(Self.ascii(failure.recipient.address.description))")
            line("Original-Recipient: rfc822;\(Self.ascii((failure.recipient.original ?? failure.recipient.address).description))")
            line("Action: failed")
            line("Status: \(failure.result.dsn)")
            if let host = failure.result.remoteMTA { line("Remote-MTA: dns; \(host)") }
            let diagnostic = failure.result.diagnostic.map { "smtp; \($0)" } ?? "X-Postfix; \(failure.result.text)"
            for wrapped in Self.wrapped("Diagnostic-Code: \(diagnostic)") { line(wrapped) }
        }
        line("")
    }

    /// Lines of at most 78 bytes where blanks allow it, later ones indented: a folded header and a readable paragraph alike.
    static func wrapped(_ text: String) -> [String] {
        var lines: [String] = []
        var current = ""
        for word in ascii(text).split(separator: " ") {
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
