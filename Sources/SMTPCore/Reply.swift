/// An SMTP reply (RFC 5321 section 4.2): the same value from the rule that decides it to the wire and the log.
package struct Reply: Sendable, Hashable {
    /// 200 to 599.
    package var code: Int
    /// Repeated on each line after the code (RFC 2034); nil for replies that carry none, such as the greeting and EHLO.
    package var status: EnhancedStatusCode?
    /// At least one line, without CR or LF.
    package var lines: [String]
    /// The connection is closed once the reply has been written.
    package var closes: Bool

    package init(_ code: Int, _ status: EnhancedStatusCode? = nil, _ text: String, closes: Bool = false) {
        self.init(code, status, lines: [text], closes: closes)
    }

    package init(_ code: Int, _ status: EnhancedStatusCode? = nil, lines: [String], closes: Bool = false) {
        self.code = code
        self.status = status
        self.lines = lines.isEmpty ? [""] : lines
        // 421 and 521 end the session at whatever point they are sent (smtpd(8)).
        self.closes = closes || code == 421 || code == 521
    }

    package var isPositive: Bool { code < 400 }
    package var isTransientFailure: Bool { (400..<500).contains(code) }
    package var isPermanentFailure: Bool { code >= 500 }

    /// The reply as one line of log text: `554 5.7.1 <r@x>: Relay access denied`. Lines after the first are joined by a blank.
    package var logText: String {
        let text = lines.joined(separator: " ")
        return if let status { "\(code) \(status) \(text)" } else { "\(code) \(text)" }
    }

    /// The bytes on the wire, CRLF included.
    package var wire: String {
        var out = ""
        for (index, line) in lines.enumerated() {
            out += String(code)
            out += index == lines.count - 1 ? " " : "-"
            if let status { out += "\(status) " }
            out += line
            out += "\r\n"
        }
        return out
    }
}
