package import NIOCore
package import SMTPCore

/// The trace field this server puts on top of each message (RFC 5321 section 4.4), in Postfix's layout.
package struct ReceivedHeader: Sendable, Hashable {
    /// `TLSv1.3 with cipher ... (256/256 bits)` and the line after it, `key-exchange ...`, which may be empty.
    /// As the client said; its name when it said nothing.
    package var heloName: String
    package var clientName: String
    /// nil when XCLIENT has said that nobody knows it.
    package var clientAddress: IPAddress?
    /// Comments about TLS and the client's certificate, one for each line; only with `smtpd_tls_received_header`.
    package var tlsLines: [String] = []
    /// Only with `smtpd_sasl_authenticated_header`.
    package var authenticatedSender: String?
    package var host: String
    /// `mail_name`.
    package var product: String
    /// `SMTP`, `ESMTP`, `ESMTPSA`, ... (RFC 3848).
    package var protocolName: String
    package var queueID: QueueID
    /// Only when the message has exactly one recipient; more would reveal blind copies.
    package var recipient: String?
    package var date: MailTime
    /// `smtpd_hide_client_session`: neither the client nor the protocol is told.
    package var hidesClient = false

    package init(
        heloName: String,
        clientName: String,
        clientAddress: IPAddress?,
        host: String,
        product: String,
        protocolName: String,
        queueID: QueueID,
        date: MailTime
    ) {
        self.heloName = heloName
        self.clientName = clientName
        self.clientAddress = clientAddress
        self.host = host
        self.product = product
        self.protocolName = protocolName
        self.queueID = queueID
        self.date = date
    }

    package func write(into out: inout ByteBuffer) {
        out.writeString("Received: ")
        if hidesClient {
            out.writeString("by \(host) (\(product)) id \(queueID)")
        } else {
            writeClient(into: &out)
            out.writeString("\r\n\tby \(host) (\(product)) with \(protocolName) id \(queueID)")
        }
        if let recipient {
            out.writeString("\r\n\tfor <\(recipient)>; ")
        } else {
            out.writeString(";\r\n\t")
        }
        out.writeString(date.headerDate)
        out.writeString("\r\n")
    }

    private func writeClient(into out: inout ByteBuffer) {
        out.writeString("from \(heloName) (\(clientName) [\(clientAddress?.rfc5321 ?? "unknown")])")
        for line in tlsLines { out.writeString("\r\n\t\(line)") }
        if let authenticatedSender { out.writeString("\r\n\t(Authenticated sender: \(Self.commentText(authenticatedSender)))") }
    }

    /// Text made safe inside a comment: what would end the comment or the header becomes `?`, and parentheses are balanced.
    package static func commentText(_ text: String) -> String {
        var out = ""
        var depth = 0
        for scalar in text.unicodeScalars {
            switch scalar {
            case "(":
                depth += 1
                out.unicodeScalars.append(scalar)
            case ")":
                if depth == 0 {
                    out += "?"
                } else {
                    depth -= 1
                    out.unicodeScalars.append(scalar)
                }
            case "\\": out += "?"
            default: out.unicodeScalars.append((" "..."~").contains(scalar) ? scalar : "?")
            }
        }
        return out + String(repeating: ")", count: depth)
    }
}
