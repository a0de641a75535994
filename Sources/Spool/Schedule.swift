import DequeModule
import SMTPCore

/// When each message is due. Times are monotonic seconds. Entries are checked against the queue when they come up, so leaving the
/// queue needs no search here.
struct Schedule: Sendable {
    private struct Appointment: Sendable {
        var deadline: Double
        var id: QueueID
    }

    /// A binary heap, earliest first.
    private var heap: [Appointment] = []
    /// Due, in order.
    private(set) var ready: Deque<QueueID> = []

    mutating func appendReady(_ id: QueueID) { ready.append(id) }

    mutating func popReady() -> QueueID? { ready.popFirst() }

    mutating func add(_ id: QueueID, at deadline: Double) {
        heap.append(Appointment(deadline: deadline, id: id))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].deadline < heap[parent].deadline else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// The next one whose time has come, with the time it was given.
    mutating func popDue(_ now: Double) -> (id: QueueID, deadline: Double)? {
        guard let first = heap.first, first.deadline <= now, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            sink()
        }
        return (first.id, first.deadline)
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].deadline < heap[least].deadline {
                least = child
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

/// Postfix's back-off: as long again as the message has already been waiting, within the two bounds.
struct BackOff: Sendable {
    var minimal: Double
    var maximal: Double

    init(_ options: SpoolOptions) {
        minimal = max(options.minimalBackoff, 0)
        maximal = max(options.maximalBackoff, minimal)
    }

    /// Seconds since 1970 of the next attempt for a message that arrived at `arrival` and failed at `now`.
    func nextAttempt(arrival: Double, now: Double) -> Double { now + min(max(now - arrival, minimal), maximal) }

    /// Seconds until the next attempt. Bounded, so that a clock that was once set wrong cannot postpone it for years.
    func delay(until nextAttempt: Double, now: Double) -> Double { min(max(nextAttempt - now, 0), maximal) }
}

/// Whether the wall clock can be believed enough to give mail up for its age.
///
/// After a jump against the monotonic clock nobody can tell which of the two readings was right, so a message counts as no older than the
/// jump: nothing expires until a whole lifetime has passed since. By then every message that seems too old is.
struct ClockTrust: Sendable {
    /// A step of more than this many seconds against the monotonic clock.
    static let tolerance: Double = 60

    private var offset: Double
    /// The wall clock just after the last jump, of this process or, as the journal says, of an earlier one; 0 if there was none.
    private(set) var clockSet: Double
    /// The newest time found in the journal at the start.
    private let newest: Double

    init(wall: Double, monotonic: Double, newest: Double, clockSet: Double = 0) {
        offset = wall - monotonic
        self.newest = newest
        self.clockSet = clockSet
    }

    /// Returns whether this look found a new jump. A slow drift is followed.
    mutating func note(wall: Double, monotonic: Double) -> Bool {
        let current = wall - monotonic
        defer { offset = current }
        guard abs(current - offset) > Self.tolerance else { return false }
        clockSet = wall
        return true
    }

    /// From when the age of a message counts: its arrival, or the last jump if that came later; never, while the clock is behind.
    func ageCounts(from arrival: Double, wall: Double) -> Double { wall >= newest ? max(arrival, clockSet) : .infinity }

    /// Whether a message that seems to have been queued for `lifetime` seconds has been.
    func mayExpire(after lifetime: Double, wall: Double) -> Bool {
        wall >= newest && (clockSet == 0 || wall - clockSet >= lifetime)
    }
}
