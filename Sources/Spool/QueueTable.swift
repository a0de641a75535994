import SMTPCore

/// The entries of the queue in order of id, in pieces of bounded size: ids arrive nearly in order, so that pieces are full, a page of the
/// queue is found without a search, and an entry takes little more than its own size.
struct QueueTable: Sendable {
    private struct Piece: Sendable {
        var ids: ContiguousArray<UInt64> = []
        var entries: ContiguousArray<QueueEntry> = []

        init(capacity: Int) {
            ids.reserveCapacity(capacity)
            entries.reserveCapacity(capacity)
        }

        /// The place of the first id not below `id`.
        func place(_ id: UInt64) -> Int {
            var low = 0
            var high = ids.count
            while low < high {
                let middle = (low + high) / 2
                if ids[middle] < id { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    private static let pieceLimit = 256

    private var pieces: [Piece] = []
    /// The smallest id of each piece, side by side for the search. Each piece holds ids from here to below the next one.
    private var firsts: [UInt64] = []
    private(set) var count = 0

    /// The piece that holds `id`, or would.
    private func piece(_ id: UInt64) -> Int {
        var low = 0
        var high = firsts.count
        while low < high {
            let middle = (low + high) / 2
            if firsts[middle] <= id { low = middle + 1 } else { high = middle }
        }
        return max(low - 1, 0)
    }

    private func find(_ id: QueueID) -> (piece: Int, place: Int)? {
        guard !pieces.isEmpty else { return nil }
        let piece = piece(id.rawValue)
        let place = pieces[piece].place(id.rawValue)
        guard place < pieces[piece].ids.count, pieces[piece].ids[place] == id.rawValue else { return nil }
        return (piece, place)
    }

    subscript(id: QueueID) -> QueueEntry? { find(id).map { pieces[$0.piece].entries[$0.place] } }

    mutating func update(_ id: QueueID, _ change: (inout QueueEntry) -> Void) {
        guard let found = find(id) else { return }
        change(&pieces[found.piece].entries[found.place])
    }

    mutating func set(_ id: QueueID, _ entry: QueueEntry) {
        if let found = find(id) {
            pieces[found.piece].entries[found.place] = entry
            return
        }
        count += 1
        guard !pieces.isEmpty else { return append(id.rawValue, entry) }
        var index = piece(id.rawValue)
        var place = pieces[index].place(id.rawValue)
        if pieces[index].ids.count >= Self.pieceLimit {
            // At the very end a new piece begins, and the full one stays full.
            if index == pieces.count - 1, place == pieces[index].ids.count { return append(id.rawValue, entry) }
            split(index)
            index = piece(id.rawValue)
            place = pieces[index].place(id.rawValue)
        }
        pieces[index].ids.insert(id.rawValue, at: place)
        pieces[index].entries.insert(entry, at: place)
        if place == 0 { firsts[index] = id.rawValue }
    }

    private mutating func append(_ id: UInt64, _ entry: QueueEntry) {
        var piece = Piece(capacity: Self.pieceLimit)
        piece.ids.append(id)
        piece.entries.append(entry)
        pieces.append(piece)
        firsts.append(id)
    }

    private mutating func split(_ index: Int) {
        let half = pieces[index].ids.count / 2
        var right = Piece(capacity: Self.pieceLimit)
        right.ids.append(contentsOf: pieces[index].ids[half...])
        right.entries.append(contentsOf: pieces[index].entries[half...])
        pieces[index].ids.removeSubrange(half...)
        pieces[index].entries.removeSubrange(half...)
        pieces.insert(right, at: index + 1)
        firsts.insert(right.ids[0], at: index + 1)
    }

    mutating func remove(_ id: QueueID) -> QueueEntry? {
        guard let (piece, place) = find(id) else { return nil }
        count -= 1
        pieces[piece].ids.remove(at: place)
        let entry = pieces[piece].entries.remove(at: place)
        if pieces[piece].ids.isEmpty {
            pieces.remove(at: piece)
            firsts.remove(at: piece)
        } else {
            if place == 0 { firsts[piece] = pieces[piece].ids[0] }
            joinNext(piece)
        }
        return entry
    }

    /// Two pieces that have become small become one, so that a queue that shrinks does not keep its memory.
    private mutating func joinNext(_ index: Int) {
        let next = index + 1
        guard next < pieces.count, pieces[index].ids.count + pieces[next].ids.count <= Self.pieceLimit / 4 else { return }
        pieces[index].ids.append(contentsOf: pieces[next].ids)
        pieces[index].entries.append(contentsOf: pieces[next].entries)
        pieces.remove(at: next)
        firsts.remove(at: next)
    }

    /// Every entry, in order of id.
    func forEach(_ body: (QueueID, QueueEntry) -> Void) {
        for piece in pieces {
            for place in piece.ids.indices { body(QueueID(rawValue: piece.ids[place]), piece.entries[place]) }
        }
    }

    /// The same, with leave to change it.
    mutating func updateEach(_ body: (QueueID, inout QueueEntry) -> Void) {
        for piece in pieces.indices {
            for place in pieces[piece].ids.indices { body(QueueID(rawValue: pieces[piece].ids[place]), &pieces[piece].entries[place]) }
        }
    }

    func ids(where isWanted: (QueueID, QueueEntry) -> Bool) -> [QueueID] {
        var wanted: [QueueID] = []
        forEach { if isWanted($0, $1) { wanted.append($0) } }
        return wanted
    }

    /// Up to `limit` ids after `id`, in order.
    func ids(after id: QueueID?, limit: Int) -> [QueueID] {
        var page: [QueueID] = []
        guard limit > 0, !pieces.isEmpty, id?.rawValue != .max else { return page }
        let first = id.map { $0.rawValue + 1 } ?? 0
        var piece = piece(first)
        var place = pieces[piece].place(first)
        while piece < pieces.count, page.count < limit {
            if place < pieces[piece].ids.count {
                page.append(QueueID(rawValue: pieces[piece].ids[place]))
                place += 1
            } else {
                piece += 1
                place = 0
            }
        }
        return page
    }
}
