import NIOCore
import SMTPCore

/// Where a record is.
struct RecordLocation: Sendable, Hashable {
    var segment: UInt64
    var offset: Int
    var headLength: Int
    var bodyLength: Int

    var length: Int { RecordHeader.length + headLength + bodyLength }
}

/// What is kept in memory for each queued message: no addresses, no reasons, no content. Those are where ``base`` and ``outcome`` say.
struct QueueEntry: Sendable, Hashable {
    private var baseSegment: UInt32
    private var baseOffset: UInt32
    private var baseHead: UInt32
    private var baseBody: UInt32
    private var outcomeSegment: UInt32 = 0
    private var outcomeOffset: UInt32 = 0
    private var outcomeHead: UInt32 = 0
    private var outcomeBody: UInt32 = 0
    var size: UInt64
    var arrival: Double
    /// Wall clock.
    var nextAttempt: Double
    /// Monotonic time at which the schedule has it; 0 when it is not waiting for a time.
    var deadline: Double = 0
    var attempts: UInt32
    var generation: UInt32
    var isHeld: Bool
    var isInFile: Bool
    var isActive = false
    /// In the line of those that wait for a place among the active.
    var isReady = false
    /// Was, or may have been, in delivery when the process ended.
    var isSuspect = false
    /// The journal says that it may be tried before ``nextAttempt``.
    var isHurried = false
    /// Cannot be read; not tried again before it is released.
    var isUnreadable = false
    /// The process has failed over it twice; not tried again before it is released.
    var isPoisonous = false
    var senderIsNull: Bool

    init(_ message: IndexFact.Message, at location: RecordLocation) {
        baseSegment = UInt32(truncatingIfNeeded: location.segment)
        baseOffset = UInt32(truncatingIfNeeded: location.offset)
        baseHead = UInt32(truncatingIfNeeded: location.headLength)
        baseBody = UInt32(truncatingIfNeeded: location.bodyLength)
        size = message.size
        arrival = message.arrival
        nextAttempt = message.nextAttempt
        attempts = message.attempts
        generation = message.generation
        isHeld = message.isHeld
        isInFile = message.isInFile
        senderIsNull = message.senderIsNull
    }

    /// Waits for an administrator.
    var isKept: Bool { isHeld || isUnreadable || isPoisonous }

    /// The record with the envelope.
    var base: RecordLocation {
        RecordLocation(segment: UInt64(baseSegment), offset: Int(baseOffset), headLength: Int(baseHead), bodyLength: Int(baseBody))
    }

    /// The last outcome, if there is one since `base`.
    var outcome: RecordLocation? {
        get {
            guard outcomeSegment != 0 else { return nil }
            return RecordLocation(
                segment: UInt64(outcomeSegment),
                offset: Int(outcomeOffset),
                headLength: Int(outcomeHead),
                bodyLength: Int(outcomeBody)
            )
        }
        set {
            outcomeSegment = UInt32(truncatingIfNeeded: newValue?.segment ?? 0)
            outcomeOffset = UInt32(truncatingIfNeeded: newValue?.offset ?? 0)
            outcomeHead = UInt32(truncatingIfNeeded: newValue?.headLength ?? 0)
            outcomeBody = UInt32(truncatingIfNeeded: newValue?.bodyLength ?? 0)
        }
    }
}

/// The queue as the journal tells it: the same facts in the same order give the same queue, at replay and while running.
struct QueueIndex: Sendable {
    private(set) var entries = QueueTable()
    /// Bytes of all base records.
    private(set) var liveBytes = 0
    /// Messages whose base is in a segment, and the bytes of these records.
    private(set) var live: [UInt64: Live] = [:]
    /// Messages that were accepted and of whose record only the id can be read, with the place.
    private(set) var quarantine: [QueueID: RecordLocation] = [:]
    /// No id at or above it has been given out.
    var queueIDLimit: UInt64 = 0
    /// The last fact was a clean end.
    var endedCleanly = false

    struct Live: Sendable, Hashable {
        var count = 0
        var bytes = 0
    }

    /// What a fact did to a message.
    enum Change: Sendable, Hashable {
        case added(QueueID)
        case updated(QueueID)
        /// Gone, with what it was; nil if that was in quarantine.
        case removed(QueueID, QueueEntry?)
    }

    subscript(id: QueueID) -> QueueEntry? { entries[id] }

    /// Changes what is not in the journal: activity, deadlines.
    mutating func update(_ id: QueueID, _ change: (inout QueueEntry) -> Void) { entries.update(id, change) }

    mutating func updateEach(_ change: (QueueID, inout QueueEntry) -> Void) { entries.updateEach(change) }

    /// Takes one durable fact. A fact about a message that is not here is about one that is finished, and does nothing.
    mutating func apply(_ fact: IndexFact) -> Change? {
        endedCleanly = false
        switch fact {
        case .message(let id, let message, let location): return add(id, message, at: location)
        case .state(let id, let attempts, let nextAttempt, let location):
            guard entries[id] != nil else { return nil }
            update(id) {
                $0.attempts = attempts
                $0.nextAttempt = nextAttempt
                $0.outcome = location
                $0.isSuspect = false
                $0.isHurried = false
            }
            return .updated(id)
        case .gone(let id): return remove(id)
        case .hold(let id), .release(let id):
            guard entries[id] != nil else { return nil }
            let isHold = if case .hold = fact { true } else { false }
            update(id) {
                $0.isHeld = isHold
                if !isHold {
                    $0.isHurried = true
                    $0.isUnreadable = false
                    $0.isPoisonous = false
                }
            }
            return .updated(id)
        case .queueIDLimit(let limit): queueIDLimit = max(queueIDLimit, limit)
        case .cleanEnd: endedCleanly = true
        }
        return nil
    }

    /// A record of this message's accept is there and cannot be read. Whatever the journal says of it later ends the quarantine.
    mutating func putInQuarantine(_ id: QueueID, at location: RecordLocation) {
        // A copy that can be read is as good.
        guard entries[id] == nil else { return }
        quarantine[id] = location
        queueIDLimit = max(queueIDLimit, id.rawValue &+ 1)
    }

    private mutating func add(_ id: QueueID, _ message: IndexFact.Message, at location: RecordLocation) -> Change? {
        var entry = QueueEntry(message, at: location)
        let old = entries[id]
        if let old {
            guard message.generation > old.generation else { return nil }
            uncount(old.base)
            // Copied forward: what is not in the journal stays.
            entry.isActive = old.isActive
            entry.isReady = old.isReady
            entry.deadline = old.deadline
            entry.isSuspect = old.isSuspect
            entry.isHurried = old.isHurried
            entry.isPoisonous = old.isPoisonous
        }
        if !quarantine.isEmpty { quarantine[id] = nil }
        entries.set(id, entry)
        live[location.segment, default: Live()].count += 1
        live[location.segment, default: Live()].bytes += location.length
        liveBytes += location.length
        queueIDLimit = max(queueIDLimit, id.rawValue &+ 1)
        return old == nil ? .added(id) : .updated(id)
    }

    private mutating func remove(_ id: QueueID) -> Change? {
        if !quarantine.isEmpty, quarantine.removeValue(forKey: id) != nil { return .removed(id, nil) }
        guard let entry = entries.remove(id) else { return nil }
        uncount(entry.base)
        return .removed(id, entry)
    }

    private mutating func uncount(_ base: RecordLocation) {
        live[base.segment, default: Live()].count -= 1
        live[base.segment, default: Live()].bytes -= base.length
        liveBytes -= base.length
        if live[base.segment]?.count == 0 { live[base.segment] = nil }
    }
}
