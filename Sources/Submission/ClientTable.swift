import NIOCore
import SMTPCore

/// The counters behind ``ClientLimits``: a table of fixed capacity.
///
/// Clients stand in slots, and a hand goes round the slots to find one to reuse. An attacker who comes from ever new networks thus costs a
/// bounded time for each connection and a bounded memory, and cannot push out clients that are connected.
struct ClientTable {
    struct Key: Hashable {
        var service: UInt16
        var client: IPNetwork
    }

    private struct Slot {
        var key: Key
        var connections: UInt32 = 0
        var windowStart: NIODeadline
        var events = EventCounts()
    }

    private let capacity: Int
    private let window: TimeAmount
    private var services: [String: UInt16] = [:]
    private var index: [Key: Int] = [:]
    private var slots: [Slot] = []
    private var hand = 0
    private var peaks = ClientPeaks()
    /// Connections that other generations of the server still serve.
    private var elsewhere: [Int: [Key: UInt32]] = [:]

    /// Slots looked at for the one that is given up.
    private static let sampleSize = 16

    init(capacity: Int, window: TimeAmount) {
        self.capacity = capacity
        self.window = window
    }

    var clientCount: Int { index.count }

    mutating func connect(_ service: String, _ client: IPNetwork, _ now: NIODeadline) -> Int {
        let key = key(service, client)
        let others = elsewhere.isEmpty ? 0 : elsewhere.values.reduce(0) { $0 + Int($1[key] ?? 0) }
        guard let slot = slot(for: key, now) else { return others + 1 }
        slots[slot].connections += 1
        let count = others + Int(slots[slot].connections)
        peaks.note(connections: count, key, now)
        return count
    }

    /// A slot is kept for its rates until another client needs it.
    mutating func disconnect(_ service: String, _ client: IPNetwork) {
        guard let slot = index[key(service, client)], slots[slot].connections > 0 else { return }
        slots[slot].connections -= 1
    }

    mutating func count(_ event: ClientLimits.Event, _ service: String, _ client: IPNetwork, _ now: NIODeadline) -> Int {
        let key = key(service, client)
        guard let slot = slot(for: key, now) else { return 1 }
        let count = Int(slots[slot].events.increment(event))
        peaks.note(rate: count, of: event, key, now)
        return count
    }

    func rate(_ event: ClientLimits.Event, _ service: String, _ client: IPNetwork, _ now: NIODeadline) -> Int {
        guard let number = services[service], let slot = index[Key(service: number, client: client)],
            now - slots[slot].windowStart < window
        else { return 0 }
        return Int(slots[slot].events[event])
    }

    private mutating func key(_ service: String, _ client: IPNetwork) -> Key {
        if let number = services[service] { return Key(service: number, client: client) }
        // Services are lines of master.cf, or names in a snapshot that has been checked: never more than the type holds.
        let number = UInt16(truncatingIfNeeded: services.count)
        services[service] = number
        return Key(service: number, client: client)
    }

    /// The slot of `key`, with a window that has not ended. nil when there is no room: the client is then not counted.
    private mutating func slot(for key: Key, _ now: NIODeadline) -> Int? {
        defer { peaks.note(clients: index.count, now) }
        if let slot = index[key] {
            if now - slots[slot].windowStart >= window {
                slots[slot].windowStart = now
                slots[slot].events = EventCounts()
            }
            return slot
        }
        let new = Slot(key: key, windowStart: now)
        if slots.count < capacity {
            slots.append(new)
            index[key] = slots.count - 1
            return slots.count - 1
        }
        guard let victim = idleSlot() else { return nil }
        index[slots[victim].key] = nil
        slots[victim] = new
        index[key] = victim
        return victim
    }

    /// Of the next slots that have no connection, the one whose window began first.
    private mutating func idleSlot() -> Int? {
        var best: Int?
        for _ in 0..<min(Self.sampleSize, slots.count) {
            hand = hand + 1 < slots.count ? hand + 1 : 0
            guard slots[hand].connections == 0 else { continue }
            if let best, slots[best].windowStart <= slots[hand].windowStart { continue }
            best = hand
        }
        return best
    }

    /// The peaks since the last call.
    mutating func takeStatistics() -> [ClientStatistic] {
        let names = Dictionary(uniqueKeysWithValues: services.map { ($1, $0) })
        defer { peaks = ClientPeaks() }
        return ClientStatistic.all(peaks, window: window) { names[$0] ?? "" }
    }

    func report(_ now: NIODeadline) -> [ClientSnapshot.Client] {
        let names = Dictionary(uniqueKeysWithValues: services.map { ($1, $0) })
        return slots.compactMap { slot in
            let age = now - slot.windowStart
            let isCurrent = age < window
            guard slot.connections > 0 || isCurrent else { return nil }
            return ClientSnapshot.Client(
                service: names[slot.key.service] ?? "",
                client: slot.key.client,
                connections: slot.connections,
                windowAge: isCurrent ? max(age, .zero) : .zero,
                events: isCurrent ? slot.events : EventCounts()
            )
        }
    }

    mutating func merge(_ clients: [ClientSnapshot.Client], _ source: Int, _ now: NIODeadline) {
        var connections: [Key: UInt32] = [:]
        for client in clients where services[client.service] != nil || services.count < Self.maximumServices {
            let key = key(client.service, client.client)
            if client.connections > 0 { connections[key] = client.connections }
            guard client.windowAge < window, !client.events.isEmpty, let slot = slot(for: key, now) else { continue }
            if slots[slot].events.isEmpty { slots[slot].windowStart = now - client.windowAge }
            slots[slot].events.raise(to: client.events)
        }
        elsewhere[source] = connections.isEmpty ? nil : connections
    }

    mutating func forget(_ source: Int) { elsewhere[source] = nil }

    /// More than any master.cf has lines; what exceeds it in a snapshot is left out.
    private static let maximumServices = 1024
}

/// One counter for each kind of event; they stop at their largest value.
struct EventCounts: Hashable {
    private var counts: (UInt32, UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0)

    subscript(_ event: ClientLimits.Event) -> UInt32 {
        get {
            switch event {
            case .connection: counts.0
            case .message: counts.1
            case .recipient: counts.2
            case .auth: counts.3
            case .tlsSession: counts.4
            }
        }
        set {
            switch event {
            case .connection: counts.0 = newValue
            case .message: counts.1 = newValue
            case .recipient: counts.2 = newValue
            case .auth: counts.3 = newValue
            case .tlsSession: counts.4 = newValue
            }
        }
    }

    mutating func increment(_ event: ClientLimits.Event) -> UInt32 {
        if self[event] < .max { self[event] += 1 }
        return self[event]
    }

    mutating func raise(to other: EventCounts) {
        for event in ClientLimits.Event.allCases { self[event] = max(self[event], other[event]) }
    }

    var total: UInt64 { ClientLimits.Event.allCases.reduce(0) { $0 + UInt64(self[$1]) } }
    var isEmpty: Bool { total == 0 }

    static func == (left: EventCounts, right: EventCounts) -> Bool { left.counts == right.counts }
    func hash(into hasher: inout Hasher) { for event in ClientLimits.Event.allCases { hasher.combine(self[event]) } }
}
