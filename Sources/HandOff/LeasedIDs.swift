import SMTPCore

/// The queue ids that were leased to one connection, each good for one message.
struct LeasedIDs {
    private struct Lease {
        let first: UInt64
        let count: Int
        /// One bit for each id that has been used.
        var used: [UInt64]
        var left: Int
    }

    enum Claim: Sendable, Hashable {
        case granted
        /// Leased so long ago that it is not known any more whether it was used: its message must fail.
        case forgotten
        /// Never leased here, or used before: no correct peer sends it.
        case refused
    }

    /// Ascending. A lease goes when its last id is used; ids of transactions that came to nothing never are.
    private var leases: [Lease] = []
    private var forgottenBelow: UInt64 = 0
    private var firstLeased: UInt64?
    private let limit: Int

    /// - Parameter limit: so many leases are remembered.
    init(limit: Int = 4_096) { self.limit = max(limit, 2) }

    mutating func add(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        if firstLeased == nil { firstLeased = range.lowerBound }
        leases.append(
            Lease(first: range.lowerBound, count: range.count, used: Array(repeating: 0, count: (range.count + 63) / 64), left: range.count)
        )
        guard leases.count > limit else { return }
        leases.removeFirst(limit / 2)
        forgottenBelow = leases[0].first
    }

    mutating func claim(_ id: QueueID) -> Claim {
        let raw = id.rawValue
        var low = 0
        var high = leases.count
        while low < high {
            let middle = (low + high) / 2
            if leases[middle].first <= raw { low = middle + 1 } else { high = middle }
        }
        let index = low - 1
        guard index >= 0, raw - leases[index].first < UInt64(leases[index].count) else {
            return raw < forgottenBelow && raw >= firstLeased ?? .max ? .forgotten : .refused
        }
        let place = Int(raw - leases[index].first)
        let bit: UInt64 = 1 << UInt64(place % 64)
        guard leases[index].used[place / 64] & bit == 0 else { return .refused }
        leases[index].used[place / 64] |= bit
        leases[index].left -= 1
        if leases[index].left == 0 { leases.remove(at: index) }
        return .granted
    }
}
