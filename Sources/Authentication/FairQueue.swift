import DequeModule

/// Waiting work in one line per key (a client's network), served in turn: whoever brings many logins waits for himself.
package struct FairQueue<Key: Hashable, Element> {
    private var lines: [Key: Deque<Element>] = [:]
    /// Each key with waiting work, once, in the order of service.
    private var order: Deque<Key> = []
    package private(set) var count = 0
    private let capacity: Int
    private let capacityPerKey: Int

    package init(capacity: Int, capacityPerKey: Int) {
        self.capacity = capacity
        self.capacityPerKey = capacityPerKey
    }

    package enum Admission {
        case admitted
        /// Admitted at the cost of this one, the newest of the key with the most.
        case displaced(Element)
        case refused
    }

    package mutating func append(_ element: Element, key: Key) -> Admission {
        let own = lines[key]?.count ?? 0
        guard own < capacityPerKey else { return .refused }
        var admission = Admission.admitted
        if count >= capacity {
            guard let longest = lines.max(by: { $0.value.count < $1.value.count }), longest.value.count > own + 1 else { return .refused }
            guard let last = lines[longest.key]?.popLast() else { return .refused }
            count -= 1
            admission = .displaced(last)
        }
        if own == 0 { order.append(key) }
        lines[key, default: []].append(element)
        count += 1
        return admission
    }

    package mutating func popFirst() -> Element? {
        while let key = order.popFirst() {
            guard var line = lines[key], let element = line.popFirst() else {
                lines[key] = nil
                continue
            }
            lines[key] = line.isEmpty ? nil : line
            if !line.isEmpty { order.append(key) }
            count -= 1
            return element
        }
        return nil
    }

    /// Removes and returns the elements that match.
    package mutating func remove(key: Key, where matches: (Element) -> Bool) {
        guard var line = lines[key] else { return }
        let before = line.count
        line.removeAll(where: matches)
        count -= before - line.count
        lines[key] = line.isEmpty ? nil : line
        if line.isEmpty { order.removeAll { $0 == key } }
    }

    package mutating func removeAll() -> [Element] {
        var all: [Element] = []
        while let element = popFirst() { all.append(element) }
        return all
    }
}
