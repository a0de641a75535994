import SMTPCore

/// Rules that come once for the sender and once for the recipient.
enum EnvelopeSide: Sendable {
    case sender, recipient

    var replyClass: String { self == .sender ? "Sender address" : "Recipient address" }

    var accessKind: AccessSubject.Kind { self == .sender ? .sender : .recipient }

    /// The address a rule has to look at; nil when there is none yet, and for the null sender.
    func address(_ facts: SessionFacts) -> Address? {
        let address = self == .sender ? facts.sender : facts.recipient
        return address?.isNull == false ? address : nil
    }

    func rejection(_ code: Int, _ status: EnhancedStatusCode, _ address: Address, _ text: String) -> Reply {
        Replies.make(code, status, "<\(address.internalForm)>: \(replyClass) rejected: \(text)")
    }
}
