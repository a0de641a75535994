import SMTPCore

/// The parameters of RCPT: NOTIFY and ORCPT (RFC 3461).
struct RcptParameters {
    /// DSN is not hidden from the client.
    let takesDSN: Bool
    private(set) var notify: NotifyConditions = []
    /// Decoded, `type;address`; empty without.
    private(set) var originalRecipient = ""
    /// What to say in the log about a refused parameter.
    private(set) var warning: String?

    init(takesDSN: Bool) { self.takesDSN = takesDSN }

    /// Takes one `NAME=value`; gives the refusal when it is not understood.
    mutating func read(_ parameter: ArraySlice<UInt8>) -> Reply? {
        guard let equals = parameter.firstIndex(of: UInt8(ascii: "=")) else { return MailParameters.unsupported(parameter) }
        let value = parameter[(equals + 1)...]
        switch String(decoding: parameter[..<equals].map(\.asciiUppercased), as: UTF8.self) {
        case "NOTIFY":
            guard takesDSN else { return MailParameters.dsnDisabled }
            guard notify.isEmpty, let conditions = NotifyConditions(parsing: value) else {
                if let unknown = NotifyConditions.unknownItem(in: value) {
                    warning = "unknown DSN NOTIFY command value \"\(Session.printable(unknown))\" in \"\(Session.printable(value))\""
                }
                return Reply(501, .init(5, 5, 4), "Error: Bad NOTIFY parameter syntax")
            }
            notify = conditions
        case "ORCPT":
            guard takesDSN else { return MailParameters.dsnDisabled }
            guard originalRecipient.isEmpty, let decoded = OriginalRecipient.decoded(value) else {
                return Reply(501, .init(5, 5, 4), "Error: Bad ORCPT parameter syntax")
            }
            originalRecipient = decoded
        default: return MailParameters.unsupported(parameter)
        }
        return nil
    }
}
