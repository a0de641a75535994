/// The words of `smtpd_sasl_security_options`, `smtp_sasl_security_options` and their `_tls_` variants.
package struct SASLSecurityOptions: OptionSet, Sendable, Hashable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// No mechanism that sends the password as it is (PLAIN, LOGIN).
    package static let noplaintext = SASLSecurityOptions(rawValue: 1)
    /// No mechanism that an active attacker can break without a dictionary.
    package static let noactive = SASLSecurityOptions(rawValue: 2)
    /// No mechanism that a passive attacker can break with a dictionary.
    package static let nodictionary = SASLSecurityOptions(rawValue: 4)
    /// No mechanism that lets anybody in.
    package static let noanonymous = SASLSecurityOptions(rawValue: 8)
    /// Only mechanisms where breaking one session does not break the next.
    package static let forwardSecrecy = SASLSecurityOptions(rawValue: 16)
    /// Only mechanisms where the server proves itself, too.
    package static let mutualAuth = SASLSecurityOptions(rawValue: 32)

    /// Parameter words, in the order Postfix documents them.
    package static let words: [(word: String, option: SASLSecurityOptions)] = [
        ("noplaintext", .noplaintext), ("noactive", .noactive), ("nodictionary", .nodictionary), ("noanonymous", .noanonymous),
        ("forward_secrecy", .forwardSecrecy), ("mutual_auth", .mutualAuth),
    ]

    /// Parses a list separated by commas and white space; words in any letter case.
    /// Throws ``SASLConfigurationError`` on an unknown word: it would have restricted.
    package init(parsing text: String) throws(SASLConfigurationError) {
        var result: SASLSecurityOptions = []
        for word in text.split(whereSeparator: { ", \t\r\n".contains($0) }) {
            guard let match = Self.words.first(where: { $0.word == word.lowercased() }) else {
                throw SASLConfigurationError("unknown SASL security option \"\(word)\" in \"\(text)\"")
            }
            result.insert(match.option)
        }
        self = result
    }

    /// The words, comma separated; empty for no option.
    package var text: String { Self.words.filter { contains($0.option) }.map(\.word).joined(separator: ",") }
}

/// Something in the SASL configuration that must be mended before a start. The text is one line without a prefix.
package struct SASLConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }
}
