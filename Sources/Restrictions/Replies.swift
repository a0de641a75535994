import SMTPCore

/// Builds the replies of rejections the way smtpd(8) sends them.
enum Replies {
    /// 510 bytes of text: a reply line with its CRLF stays within 512.
    private static let maximumLength = 510

    /// Non-printable characters become blanks, the text is cut at 510 bytes (code and status included), and the class of `status`
    /// follows the code.
    static func make(_ code: Int, _ status: EnhancedStatusCode, _ text: String) -> Reply {
        guard (400...599).contains(code) else { return Reply(450, EnhancedStatusCode(4, 7, 1), "Service unavailable") }
        let fixed = EnhancedStatusCode(UInt8(code / 100), status.subject, status.detail)
        let room = maximumLength - "\(code) \(fixed) ".utf8.count
        return Reply(code, fixed, printable(text, maximumLength: room))
    }

    /// Control characters as blanks; cut at a character's border.
    static func printable(_ text: String, maximumLength: Int) -> String {
        let isClean = text.utf8.count <= maximumLength && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
        if isClean { return text }
        var out = ""
        var length = 0
        for scalar in text.unicodeScalars {
            let isControl = scalar.properties.generalCategory == .control
            length += isControl ? 1 : UTF8.width(scalar)
            if length > maximumLength { break }
            out.unicodeScalars.append(isControl ? " " : scalar)
        }
        return out
    }

    /// Our configuration cannot be used: an unknown restriction from a table, a forbidden result, too deep a recursion.
    static let serverConfiguration = Reply(451, EnhancedStatusCode(4, 3, 5), "Server configuration error")

    /// Stands for the reply that HANGUP does not send.
    static let hangUp = Reply(421, EnhancedStatusCode(4, 7, 0), "Error: hangup", closes: true)

    /// A table or the resolver of addresses failed for the moment.
    static func temporaryLookupFailure(_ subject: String) -> Reply {
        make(451, EnhancedStatusCode(4, 3, 0), "<\(subject)>: Temporary lookup failure")
    }
}
