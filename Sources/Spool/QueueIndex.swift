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
    /// Cannot be read; not tried again before it is released.
    var isUnreadable = false
    var senderIsNull: Bool

    init(_ message: MessageRecord, isInFile: Bool, at location: RecordLocation) {
        baseSegment = UInt32(truncatingIfNeeded: location.segment)
        baseOffset = UInt32(truncatingIfNeeded: location.offset)
        baseHead = UInt32(truncatingIfNeeded: location.headLength)
        baseBody = UInt32(truncatingIfNeeded: location.bodyLength)
        size = message.contentSize
        arrival = message.arrival
        nextAttempt = message.state.nextAttempt
        attempts = message.state.attempts
        generation = message.generation
        isHeld = message.isHeld
        self.isInFile = isInFile
        senderIsNull = message.envelope.sender.isNull
    }

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
    private(set) var entries: [QueueID: QueueEntry] = [:]
    /// Bytes of all base records.
    private(set) var liveBytes = 0
    /// Messages whose base is in a segment, and the bytes of these records.
    private(set) var live: [UInt64: Live] = [:]
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
        /// Gone, with what it was.
        case removed(QueueID, QueueEntry)
    }

    subscript(id: QueueID) -> QueueEntry? { entries[id] }

    /// Changes what is not in the journal: activity, deadlines.
    mutating func update(_ id: QueueID, _ change: (inout QueueEntry) -> Void) {
        guard let position = entries.index(forKey: id) else { return }
        change(&entries.values[position])
    }

    /// Takes one durable fact. A fact about a message that is not here is about one that is finished, and does nothing.
    mutating func apply(_ fact: JournalFact, at location: RecordLocation) -> [Change] {
        endedCleanly = false
        switch fact {
        case .message(let id, let message, let isInFile):
            return add(id, message, isInFile: isInFile, at: location)
        case .outcome(let id, let state, let bounce):
            var changes: [Change] = []
            if state.isDone {
                changes += remove(id)
            } else if entries[id] != nil {
                update(id) {
                    $0.attempts = state.attempts
                    $0.nextAttempt = state.nextAttempt
                    $0.outcome = location
                    $0.isSuspect = false
                }
                changes.append(.updated(id))
            }
            if let bounce { changes += add(bounce.id, bounce.message, isInFile: false, at: location) }
            return changes
        case .hold(let id), .release(let id):
            guard entries[id] != nil else { return [] }
            let isHold = if case .hold = fact { true } else { false }
            update(id) {
                $0.isHeld = isHold
                if !isHold { $0.isUnreadable = false }
            }
            return [.updated(id)]
        case .remove(let id):
            return remove(id)
        case .queueIDLimit(let limit):
            queueIDLimit = max(queueIDLimit, limit)
            return []
        case .cleanEnd:
            endedCleanly = true
            return []
        }
    }

    private mutating func add(_ id: QueueID, _ message: MessageRecord, isInFile: Bool, at location: RecordLocation) -> [Change] {
        var entry = QueueEntry(message, isInFile: isInFile, at: location)
        let old = entries[id]
        if let old {
            guard message.generation > old.generation else { return [] }
            uncount(old.base)
            // Copied forward: what is not in the journal stays.
            entry.isActive = old.isActive
            entry.isReady = old.isReady
            entry.deadline = old.deadline
            entry.isSuspect = old.isSuspect
            entry.isUnreadable = old.isUnreadable
        }
        entries[id] = entry
        live[location.segment, default: Live()].count += 1
        live[location.segment, default: Live()].bytes += location.length
        liveBytes += location.length
        queueIDLimit = max(queueIDLimit, id.rawValue &+ 1)
        return [old == nil ? .added(id) : .updated(id)]
    }

    private mutating func remove(_ id: QueueID) -> [Change] {
        guard let entry = entries.removeValue(forKey: id) else { return [] }
        uncount(entry.base)
        return [.removed(id, entry)]
    }

    private mutating func uncount(_ base: RecordLocation) {
        live[base.segment, default: Live()].count -= 1
        live[base.segment, default: Live()].bytes -= base.length
        liveBytes -= base.length
        if live[base.segment]?.count == 0 { live[base.segment] = nil }
    }
}
