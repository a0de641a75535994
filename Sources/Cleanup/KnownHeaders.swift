import NIOCore

/// The headers whose presence or content matters, as a set.
struct KnownHeaders: Sendable, ExpressibleByArrayLiteral {
    enum Name: UInt32, CaseIterable, Sendable {
        case other, received, messageID, date, from, to, cc, bcc
        case resentMessageID, resentDate, resentFrom, resentTo, resentCc, resentBcc, resentSender
        // Of interest only for their addresses.
        case sender, replyTo, errorsTo, returnReceiptTo, dispositionNotificationTo, mailFollowupTo, returnPath, apparentlyTo
        case resentReplyTo

        var text: String {
            switch self {
            case .other: ""
            case .received: "received"
            case .messageID: "message-id"
            case .date: "date"
            case .from: "from"
            case .to: "to"
            case .cc: "cc"
            case .bcc: "bcc"
            case .resentMessageID: "resent-message-id"
            case .resentDate: "resent-date"
            case .resentFrom: "resent-from"
            case .resentTo: "resent-to"
            case .resentCc: "resent-cc"
            case .resentBcc: "resent-bcc"
            case .resentSender: "resent-sender"
            case .sender: "sender"
            case .replyTo: "reply-to"
            case .errorsTo: "errors-to"
            case .returnReceiptTo: "return-receipt-to"
            case .dispositionNotificationTo: "disposition-notification-to"
            case .mailFollowupTo: "mail-followup-to"
            case .returnPath: "return-path"
            case .apparentlyTo: "apparently-to"
            case .resentReplyTo: "resent-reply-to"
            }
        }

        /// Whose addresses the header holds, as cleanup(8) sees it; nil for a header without addresses.
        var addressSide: AddressHeader.Side? {
            switch self {
            case .from, .sender, .replyTo, .errorsTo, .returnReceiptTo, .dispositionNotificationTo, .mailFollowupTo, .returnPath,
                .resentFrom,
                .resentSender:
                .sender
            case .to, .cc, .bcc, .apparentlyTo, .resentTo, .resentCc, .resentBcc, .resentReplyTo: .recipient
            default: nil
            }
        }
    }

    private var bits: UInt32 = 0

    init(arrayLiteral names: Name...) { for name in names { insert(name) } }

    mutating func insert(_ name: Name) { bits |= 1 << name.rawValue }

    func contains(_ name: Name) -> Bool { bits & (1 << name.rawValue) != 0 }

    /// Any Resent- header: the missing ones are then added as Resent- headers too (RFC 5322 section 3.6.6).
    var containsResent: Bool {
        let names: [Name] = [.resentMessageID, .resentDate, .resentFrom, .resentTo, .resentCc, .resentBcc, .resentSender]
        return names.contains(where: contains)
    }

    var containsRecipients: Bool {
        if containsResent { return contains(.resentTo) || contains(.resentCc) || contains(.resentBcc) }
        return contains(.to) || contains(.cc) || contains(.bcc)
    }

    private static let table: [(name: Name, text: String)] = Name.allCases.dropFirst().map { ($0, $0.text) }

    static func name(of bytes: ByteBufferView) -> Name {
        for entry in table where bytes.equalsIgnoringCase(entry.text) { return entry.name }
        return .other
    }
}

extension ByteBufferView {
    /// `text` is in lower case.
    func equalsIgnoringCase(_ text: String) -> Bool {
        let other = text.utf8
        guard count == other.count else { return false }
        var index = startIndex
        for byte in other {
            let mine = self[index]
            guard mine == byte || (mine | 0x20 == byte && (0x41...0x5A).contains(mine)) else { return false }
            index += 1
        }
        return true
    }
}
