import SMTPCore

/// What a server offered in its reply to EHLO or LHLO.
struct ServerCapabilities: Sendable, Hashable {
    /// The name in the first line, as the server calls itself.
    var serverName = ""
    var pipelining = false
    var startTLS = false
    var eightBitMIME = false
    /// RFC 6531.
    var smtpUTF8 = false
    /// RFC 3461: the server takes over who is told what.
    var dsn = false
    var size = false
    /// 0 when the server names no limit.
    var sizeLimit = 0
    var authMechanisms: [String] = []
    /// A reply has room for ten thousand names, and each is compared with those before it.
    private static let mechanismLimit = 64

    init() {}

    /// - Parameter discarding: lower-case keywords to overlook (`smtp_discard_ehlo_keywords`).
    init(_ reply: ServerReply, discarding: Set<String> = []) {
        let lines = reply.lines
        serverName = String(lines.first?.prefix { $0 != " " } ?? "")
        for line in lines.dropFirst() {
            // `AUTH=PLAIN` is what servers sent before RFC 2554; the keyword ends at either.
            let words = line.split(whereSeparator: { $0 == " " || $0 == "=" })
            guard let keyword = words.first?.uppercased(), !discarding.contains(keyword.lowercased()) else { continue }
            switch keyword {
            case "PIPELINING": pipelining = true
            case "STARTTLS": startTLS = true
            case "8BITMIME": eightBitMIME = true
            case "SMTPUTF8":
                // RFC 6531 section 3.1: such a server offers 8BITMIME, even if it forgets to say so.
                smtpUTF8 = true
                eightBitMIME = true
            case "DSN": dsn = true
            case "SIZE":
                size = true
                if words.count > 1, let limit = Int(words[1]), limit > 0 { sizeLimit = limit }
            case "AUTH":
                for name in words.dropFirst() where authMechanisms.count < Self.mechanismLimit {
                    let name = name.uppercased()
                    if !authMechanisms.contains(name) { authMechanisms.append(name) }
                }
            default: break
            }
        }
    }
}
