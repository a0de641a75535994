/// Keeps the secrets of AUTH out of what is written down of a session.
///
/// A client whose AUTH is refused may send its password all the same, as the next line, where it looks like an unknown command. So after the
/// first AUTH nothing is shown but lines that begin with a verb, until a login has succeeded.
struct CommandRedaction {
    private var sawAuthentication = false

    /// The server took a login.
    mutating func authenticated() { sawAuthentication = false }

    /// The line as it may be shown.
    mutating func shown(_ given: some Collection<UInt8>) -> [UInt8] {
        // What stands behind a stray CR was meant as a line of its own.
        let line = given.prefix { $0 != 0x0D && $0 != 0x0A && $0 != 0 }
        let words = line.split(whereSeparator: { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") })
        guard let first = words.first else { return [] }
        let verb = Self.upper(first)
        if verb == "AUTH" {
            sawAuthentication = true
            guard words.count > 1 else { return Array(first) }
            // In the place of the mechanism there may be a response.
            guard Self.mechanisms.contains(Self.upper(words[1])) else { return Array(first) + Self.ellipsis }
            return Array(first) + [UInt8(ascii: " ")] + Array(words[1]) + (words.count > 2 ? Self.ellipsis : [])
        }
        if Self.verbs.contains(verb) { return Array(line) }
        if words.contains(where: { Self.upper($0).contains("AUTH") }) {
            sawAuthentication = true
            return Self.hidden
        }
        return sawAuthentication ? Self.hidden : Array(line)
    }

    static let hidden = Array("(not shown)".utf8)
    private static let ellipsis = Array(" ...".utf8)
    private static let mechanisms: Set<String> = [
        "ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GS2-KRB5", "GSS-SPNEGO", "GSSAPI", "LOGIN", "NTLM", "OAUTHBEARER", "OTP",
        "PLAIN",
        "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-224", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-384", "SCRAM-SHA-512", "SRP",
        "XOAUTH2",
    ]
    private static let verbs: Set<String> = [
        "BDAT", "DATA", "EHLO", "ETRN", "EXPN", "HELO", "HELP", "LHLO", "MAIL", "NOOP", "QUIT", "RCPT", "RSET", "STARTTLS", "VRFY",
        "XCLIENT",
        "XFORWARD", ".",
    ]

    private static func upper(_ word: some Collection<UInt8>) -> String { String(decoding: word.prefix(32), as: UTF8.self).uppercased() }
}
