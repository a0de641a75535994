/// `smtpd_sasl_mechanism_filter` and `smtp_sasl_mechanism_filter`: names of mechanisms in any letter case, `!` for exceptions, `static:` for
/// all. The first pattern that matches decides; a name that none matches is not accepted. The relay's empty list accepts all, the server's none:
/// Postfix's smtpd ends with `smtpd_sasl_mechanism_filter discards all mechanisms`.
package struct MechanismFilter: Sendable, Hashable {
    private struct Pattern: Sendable, Hashable {
        var accepts: Bool
        /// Upper case; nil matches every name.
        var name: String?
    }

    private var patterns: [Pattern]

    package static let all = MechanismFilter(patterns: [])

    private init(patterns: [Pattern]) { self.patterns = patterns }

    /// Throws ``SASLConfigurationError`` for a table other than `static:` and for a file name: they are not looked up here, and
    /// passing over them would announce more than the administrator wants.
    /// - Parameter emptyAcceptsAll: false for `smtpd_sasl_mechanism_filter`.
    package init(parsing text: String, emptyAcceptsAll: Bool = true) throws(SASLConfigurationError) {
        patterns = []
        defer { if patterns.isEmpty, !emptyAcceptsAll { patterns = [Pattern(accepts: false, name: nil)] } }
        for word in text.split(whereSeparator: { ", \t\r\n".contains($0) }) {
            var name = word
            var accepts = true
            while name.first == "!" {
                name = name.dropFirst()
                accepts.toggle()
            }
            if name.lowercased().hasPrefix("static:") {
                patterns.append(Pattern(accepts: accepts, name: nil))
            } else if name.isEmpty || name.contains("/") || name.contains(":") {
                throw SASLConfigurationError(
                    "\"\(word)\" is not supported in a SASL mechanism filter: use names of mechanisms, !name, static:rest"
                )
            } else {
                patterns.append(Pattern(accepts: accepts, name: name.uppercased()))
            }
        }
    }

    package func accepts(_ mechanism: String) -> Bool {
        if patterns.isEmpty { return true }
        let name = mechanism.uppercased()
        return patterns.first { $0.name == nil || $0.name == name }?.accepts ?? false
    }
}
