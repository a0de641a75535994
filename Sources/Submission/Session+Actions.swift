import MailLog
import Restrictions
import Routing
import SMTPCore

/// What rules want done with the message (access(5)).
extension Session {
    /// Notes the actions of one decision, that of a recipient it refused too: they are about the message. A reply when one cannot be done.
    func apply(_ actions: [MessageAction]) async -> Reply? {
        for action in actions {
            switch action {
            case .prepend(let header): transaction?.prependedHeaders.append(header)
            case .discard: transaction?.isDiscarded = true
            case .hold:
                transaction?.isHeld = true
                facts.isHeld = transaction != nil
            case .filter(let filter): transaction?.filter = filter
            case .redirect(let address): transaction?.redirection = service.router.rewrite(address)
            case .blindCopy(let address): if let reply = await addBlindCopy(address) { return reply }
            }
        }
        return nil
    }

    /// HANGUP: the connection ends, and nothing more is sent.
    func hangUp() {
        isLost = true
        isClosing = true
    }
}
