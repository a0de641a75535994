/// A message a sink has taken.
package struct SinkMessage: Sendable, Hashable {
    /// 1 for the first message of the sink, without gaps.
    package var number: Int
    /// `192.0.2.1:49152`, or `unix`.
    package var peer: String
    /// `SMTP`, `ESMTP` or `LMTP`.
    package var protocolName: String
    package var heloName: String
    /// `TLSv1.3`, ...; nil without TLS.
    package var tlsVersion: String?
    /// The authenticated user.
    package var login: String?
    package var sender: SinkPath
    /// Those whose RCPT, and in LMTP whose final reply, was positive.
    package var recipients: [SinkPath]
    /// Without dot-stuffing and the final dot.
    package var content: [UInt8]

    /// The values of a header, unfolded, in order; names are compared without regard to case.
    package func header(_ name: String) -> [String] {
        headerFields().filter { $0.name.lowercased() == name.lowercased() }.map(\.value)
    }

    /// The content after the header, as text.
    package var body: String {
        guard let end = Self.bodyStart(content) else { return "" }
        return String(decoding: content[end...], as: UTF8.self)
    }

    /// Header fields in order, folded lines joined.
    package func headerFields() -> [(name: String, value: String)] {
        let text = String(decoding: content[..<(Self.bodyStart(content) ?? content.count)], as: UTF8.self)
        var fields: [(name: String, value: String)] = []
        for line in text.split(whereSeparator: { $0 == "\r\n" || $0 == "\n" }) {
            if line.first == " " || line.first == "\t" {
                if let last = fields.indices.last { fields[last].value += line }
            } else if let colon = line.firstIndex(of: ":") {
                fields.append((String(line[..<colon]), String(line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" })))
            }
        }
        return fields
    }

    /// The index after the empty line.
    private static func bodyStart(_ content: [UInt8]) -> Int? {
        if content.starts(with: [0x0D, 0x0A]) { return 2 }
        var index = content.startIndex
        while let feed = content[index...].firstIndex(of: 0x0A) {
            index = feed + 1
            if content[index...].starts(with: [0x0D, 0x0A]) { return index + 2 }
        }
        return nil
    }

    /// For a person at a terminal: peer, envelope, headers of interest and size. Control characters are shown as `?`.
    package var summary: String {
        var lines = ["message \(number): \(protocolName) from \(peer), helo=<\(heloName)>"]
        if let tlsVersion { lines[0] += ", \(tlsVersion)" }
        if let login { lines[0] += ", login=<\(login)>" }
        lines.append((["  MAIL FROM:<\(sender.path)>"] + sender.parameters).joined(separator: " "))
        for recipient in recipients { lines.append((["  RCPT TO:<\(recipient.path)>"] + recipient.parameters).joined(separator: " ")) }
        for name in ["Received", "From", "To", "Cc", "Subject", "Date", "Message-ID"] {
            let values = header(name)
            if let first = values.first { lines.append("  \(name): \(first)\(values.count > 1 ? " (and \(values.count - 1) more)" : "")") }
        }
        lines.append("  \(content.count) bytes")
        return lines.map { String($0.unicodeScalars.map(Self.shown)) + "\n" }.joined()
    }

    /// What a terminal gets: the tab of a folded header as a space, nothing that it would obey.
    private static func shown(_ scalar: Unicode.Scalar) -> Character {
        if scalar == "\t" { return " " }
        return isPlain(scalar) ? Character(scalar) : "?"
    }

    private static func isPlain(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned, .privateUse: false
        default: true
        }
    }

    /// The message as a file: its envelope as `X-Sink-` fields, then the content unchanged.
    package var stored: [UInt8] {
        var head = "X-Sink-Peer: \(peer)\r\nX-Sink-Helo: \(heloName)\r\nX-Sink-Sender: <\(sender.path)>\r\n"
        for recipient in recipients { head += "X-Sink-Recipient: <\(recipient.path)>\r\n" }
        return Array(head.utf8) + content
    }
}
