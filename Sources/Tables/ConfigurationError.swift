package import Settings

/// Everything that keeps a part of the configuration from being used, found in one pass. `postern check` prints each finding.
package struct ConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    /// At least one of severity `error`.
    package var diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    package init(_ message: String, at location: SourceLocation? = nil) { self.diagnostics = [Diagnostic(.error, message, at: location)] }

    package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}
