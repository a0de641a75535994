import SMTPCore
import Tables

/// One delivery for each recipient, however often the client and the tables name it (`duplicate_filter_limit`). The same address asked for
/// with another NOTIFY or ORCPT, or reached from another address, is another recipient.
struct DuplicateFilter {
    private struct Key: Hashable {
        let address: String
        let original: String?
        let notify: NotifyConditions
        let declaredOriginal: String

        init(_ recipient: Recipient) {
            address = KeyFolding.folded(recipient.address.internalForm)
            original = recipient.original.map { KeyFolding.folded($0.internalForm) }
            notify = recipient.notify
            declaredOriginal = KeyFolding.folded(recipient.declaredOriginal)
        }
    }

    private let limit: Int
    private var seen: Set<Key> = []

    /// - Parameter limit: how many recipients are remembered; 0 for all.
    init(limit: Int) { self.limit = limit }

    mutating func unique(_ recipients: [Recipient]) -> [Recipient] {
        if recipients.count < 2 { return recipients }
        return recipients.filter { recipient in
            let key = Key(recipient)
            if limit > 0, seen.count >= limit { return !seen.contains(key) }
            return seen.insert(key).inserted
        }
    }
}
