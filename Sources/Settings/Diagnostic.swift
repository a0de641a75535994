/// Where in the configuration something stands.
package struct SourceLocation: Sendable, Hashable, CustomStringConvertible {
    package var file: String
    /// 1-based; the first line of a logical line.
    package var line: Int

    package init(file: String, line: Int) {
        self.file = file
        self.line = line
    }

    package var description: String { "\(file):\(line)" }
}

/// One finding about the configuration, printed by `postern check` as `file:line: message`.
package struct Diagnostic: Sendable, Hashable, CustomStringConvertible {
    package enum Severity: String, Sendable {
        /// The server does not start.
        case error
        /// The server starts; the administrator should know.
        case warning
        /// Said once at start: a parameter that only loosens or has no effect here.
        case note
    }

    package var severity: Severity
    package var location: SourceLocation?
    package var message: String

    package init(_ severity: Severity, _ message: String, at location: SourceLocation? = nil) {
        self.severity = severity
        self.location = location
        self.message = message
    }

    package var description: String {
        let place = location.map { "\($0): " } ?? ""
        return severity == .error ? "\(place)\(message)" : "\(place)\(severity.rawValue): \(message)"
    }

    /// Without the severity, for a log line that says it in its own way.
    package var text: String { location.map { "\($0): \(message)" } ?? message }
}
