package import Settings

/// Everything that keeps a part of the configuration from being used, found in one pass. `postern check` prints each finding.
package struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// At least one of severity `error`.
    package var diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    package init(_ message: String, at location: SourceLocation? = nil) { self.diagnostics = [Diagnostic(.error, message, at: location)] }

    package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

/// Goes on when a step fails, so that one run finds every problem.
package struct ProblemCollector {
    package private(set) var diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic] = []) { self.diagnostics = diagnostics }

    /// What the step yields; nil when it fails, and its findings are then collected.
    package mutating func collect<Value>(_ step: @autoclosure () throws(ConfigurationError) -> Value) -> Value? {
        do throws(ConfigurationError) {
            return try step()
        } catch {
            diagnostics += error.diagnostics
            return nil
        }
    }

    package mutating func add(_ found: [Diagnostic]) { diagnostics += found }

    package var hasErrors: Bool { diagnostics.contains { $0.severity == .error } }

    /// What to throw when a step has failed.
    package var error: ConfigurationError { ConfigurationError(diagnostics) }
}
