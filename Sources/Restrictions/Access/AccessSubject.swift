import SMTPCore

/// What an access table was asked about: the `X` and the `CLASS` of `<X>: CLASS rejected: TEXT`.
struct AccessSubject {
    enum Kind {
        case sender
        case recipient
        /// Client, HELO, login, ...: no address.
        case other
    }

    var name: String
    var replyClass: String
    var kind: Kind

    /// Address status codes (X.1.Y) say on which side of the envelope the address stands: `status` as it fits this subject.
    func fitted(_ status: EnhancedStatusCode) -> EnhancedStatusCode {
        guard status.subject == 1 else { return status }
        let detail: UInt16
        switch (kind, status.detail) {
        case (.other, _): return EnhancedStatusCode(status.class, 0, 0)
        // Bad destination (mailbox, system, syntax, ambiguous, moved) as said of a sender.
        case (.sender, 1), (.sender, 3), (.sender, 4), (.sender, 6), (.sender, 7): detail = 7
        case (.sender, 2), (.sender, 8): detail = 8
        case (.sender, _): detail = 0
        case (.recipient, 7): detail = 3
        case (.recipient, 8): detail = 2
        case (.recipient, 1...6): detail = status.detail
        case (.recipient, _): detail = 0
        }
        return EnhancedStatusCode(status.class, 1, detail)
    }

    func rejection(_ code: Int, _ status: EnhancedStatusCode, _ text: String) -> Reply {
        Replies.make(code, fitted(status), "<\(name)>: \(replyClass) rejected: \(text)")
    }
}
