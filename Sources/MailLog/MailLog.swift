/// How grave a line is. Postfix writes the word in front of the text of all but `info`.
package enum LogSeverity: Sendable, Hashable {
    case info
    case warning
    case error
    case fatal

    /// `warning: `, `error: `, `fatal: ` or nothing.
    package var prefix: String {
        switch self {
        case .info: ""
        case .warning: "warning: "
        case .error: "error: "
        case .fatal: "fatal: "
        }
    }
}

/// Writes Postfix-shaped lines: `Nov 21 02:16:00 host postfix/smtpd[4711]: text`. Cheap and safe to call from any thread; a blocked sink
/// never blocks the caller (lines are then counted and reported as dropped).
package protocol LogSink: Sendable {
    func write(tag: String, processID: Int, text: String, severity: LogSeverity)
}

/// A sink with a name: what one SMTP session, or one transport, logs under.
package struct MailLog: Sendable {
    package let sink: any LogSink
    /// `postfix/smtpd`, `postfix/submission/smtpd`, `postfix/smtp`, `postfix/qmgr`, ...
    package let tag: String
    /// Distinct for each session, since log analysers pair lines by it.
    package let processID: Int

    package init(sink: any LogSink, tag: String, processID: Int) {
        self.sink = sink
        self.tag = tag
        self.processID = processID
    }

    package func info(_ text: String) { sink.write(tag: tag, processID: processID, text: text, severity: .info) }
    package func warning(_ text: String) { sink.write(tag: tag, processID: processID, text: text, severity: .warning) }
    package func error(_ text: String) { sink.write(tag: tag, processID: processID, text: text, severity: .error) }
    package func fatal(_ text: String) { sink.write(tag: tag, processID: processID, text: text, severity: .fatal) }

    package func with(tag: String? = nil, processID: Int? = nil) -> MailLog {
        MailLog(sink: sink, tag: tag ?? self.tag, processID: processID ?? self.processID)
    }
}
