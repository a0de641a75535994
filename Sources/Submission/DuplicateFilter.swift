import SMTPCore
import Tables

/// One delivery for each recipient, however often the client and the tables name it (`duplicate_filter_limit`). The same address asked for
/// with another NOTIFY or ORCPT, or reached from another address, is another recipient, unless `enable_original_recipient = no`.
struct DuplicateFilter {
    private struct Key: Hashable {
        let address: String
        let original: String?
        let notify: NotifyConditions
        let declaredOriginal: String

        init(_ recipient: Recipient, withOriginal: Bool) {
            address = KeyFolding.folded(recipient.address.internalForm)
            original = withOriginal ? recipient.original.map { KeyFolding.folded($0.internalForm) } : nil
            notify = withOriginal ? recipient.notify : []
            declaredOriginal = withOriginal ? KeyFolding.folded(recipient.declaredOriginal) : ""
        }
    }

    private let limit: Int
    private let withOriginal: Bool
    private var seen: Set<Key> = []

    /// - Parameters:
    ///   - limit: how many recipients are remembered; 0 for all.
    ///   - withOriginal: `enable_original_recipient`.
    init(limit: Int, withOriginal: Bool = true) {
        self.limit = limit
        self.withOriginal = withOriginal
    }

    mutating func unique(_ recipients: [Recipient]) -> [Recipient] {
        if recipients.count < 2 { return recipients }
        return recipients.filter { recipient in
            let key = Key(recipient, withOriginal: withOriginal)
            if limit > 0, seen.count >= limit { return !seen.contains(key) }
            return seen.insert(key).inserted
        }
    }
}
