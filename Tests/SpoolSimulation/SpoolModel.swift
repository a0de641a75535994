import SMTPCore

/// A promise that was not kept.
struct BrokenPromise: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// What may be true of the messages of a spool: the promise of Docs/spool.md without files, threads or clocks. Every call that hands
/// something to the spool, and every answer of it, is told to the model; ``compare(_:)`` after a restart says whether the promise was kept.
struct SpoolModel: Sendable {
    /// What is left to do for a message.
    struct State: Sendable, Hashable {
        /// The recipients left; none stands for finished.
        var left: [String]
        /// The jobs of the message say that its delay has been reported.
        var isToldOfDelay = false
        /// The messages that come into being together with this state.
        var notices: [QueueID] = []
    }

    struct Message: Sendable {
        var size: Int
        /// Acceptable states, oldest first. The spool may be in any of them.
        var states: [State]
        /// Acknowledged, or seen after a restart: it may not be missing unless a state says that it is finished.
        var isPromised = false
        var isFinished = false
        /// Refused for good, or undone by a crash: it may never appear.
        var isRefused = false
        var holds: Set<Bool> = [false]
        /// The administrator has asked for its end, so that a missing notice proves nothing.
        var mayBeDeleted = false
        /// Given to the relay, which has not reported.
        var isInDelivery = false
        /// It was in delivery when a process ended: the next delivery may be the second one.
        var wasCut = false
        var arrival = 0.0

        var mayBeFinished: Bool { states.contains { $0.left.isEmpty } }
        /// The queue has gone all the way through the reports, unless the administrator has ended it.
        var hasReachedItsEnd: Bool { !mayBeDeleted && states.last?.left.isEmpty == true }
    }

    /// A message as the spool shows it.
    struct Seen: Sendable {
        var recipients: [String]
        var isToldOfDelay: Bool
        var isHeld: Bool
        /// Its content is what was handed in, to the byte; nil if it could not be read for a fault of the disk.
        var isWhole: Bool?

        init(recipients: [String], isToldOfDelay: Bool, isHeld: Bool, isWhole: Bool?) {
            self.recipients = recipients
            self.isToldOfDelay = isToldOfDelay
            self.isHeld = isHeld
            self.isWhole = isWhole
        }
    }

    private(set) var messages: [QueueID: Message] = [:]
    private var lastID: UInt64 = 0

    init() {}

    var ids: [QueueID] { messages.keys.sorted() }
    var unfinished: [QueueID] { messages.filter { !$0.value.isFinished && !$0.value.isRefused }.keys.sorted() }
    func size(_ id: QueueID) -> Int { messages[id]?.size ?? 0 }
    func arrival(_ id: QueueID) -> Double { messages[id]?.arrival ?? 0 }

    private mutating func change(_ id: QueueID, _ body: (inout Message) -> Void) {
        if let place = messages.index(forKey: id) { body(&messages.values[place]) }
    }

    // MARK: Arrival

    mutating func reserved(_ id: QueueID) throws {
        guard id.rawValue > lastID else { throw BrokenPromise("queue id \(id) was given out before") }
        lastID = id.rawValue
    }

    mutating func handedIn(_ id: QueueID, size: Int, to recipients: [String], arrival: Double) {
        messages[id] = Message(size: size, states: [State(left: recipients)], arrival: arrival)
    }

    mutating func acknowledged(_ id: QueueID) { change(id) { $0.isPromised = true } }

    /// - Parameter isFinal: that the spool was able to make the refusal durable.
    mutating func refused(_ id: QueueID, isFinal: Bool) { change(id) { $0.isRefused = $0.isRefused || isFinal } }

    // MARK: Delivery

    /// - Parameter mayBeDuplicate: what the spool says of it; nil if it cannot know. It goes by the time of the next attempt, which says nothing
    ///   once the clock was set, and a clean end forgets it of what is on hold.
    mutating func activated(_ id: QueueID, to recipients: [String], isToldOfDelay: Bool, mayBeDuplicate: Bool?) throws {
        guard let message = messages[id] else { throw BrokenPromise("\(id) is delivered and was never handed in") }
        if message.isFinished { throw BrokenPromise("\(id) was finished and is delivered again") }
        if message.isRefused { throw BrokenPromise("\(id) was refused and is delivered") }
        if message.isInDelivery { throw BrokenPromise("\(id) is delivered twice at the same time") }
        if message.holds == [true] { throw BrokenPromise("\(id) is on hold and is delivered") }
        try settle(id, recipients, isToldOfDelay, "is delivered to")
        if message.wasCut, mayBeDuplicate == false { throw BrokenPromise("\(id) may be a duplicate, and nobody is told") }
        change(id) { $0.isInDelivery = true }
    }

    /// The message is in this state, whatever else it might have been in: what came with it and before it is there, what would have come
    /// after it is lost and may never appear.
    private mutating func settle(_ id: QueueID, _ left: [String], _ isToldOfDelay: Bool, _ how: String) throws {
        guard let message = messages[id] else { return }
        let matching = message.states.indices.filter {
            message.states[$0].left == left && message.states[$0].isToldOfDelay == isToldOfDelay
        }
        guard let first = matching.first, let last = matching.last else {
            throw BrokenPromise("\(id) \(how) \(left), told of delay \(isToldOfDelay), expected one of \(message.states)")
        }
        // Two states that look the same leave open which of them it is, and nothing is known of the notices between.
        for state in message.states[...first] { for notice in state.notices { acknowledged(notice) } }
        for state in message.states[(last + 1)...] { for notice in state.notices { change(notice) { $0.isRefused = true } } }
        change(id) { $0.states = [State(left: left, isToldOfDelay: isToldOfDelay)] }
    }

    /// The relay's report: recipients left, and the notices that must appear together with that state.
    mutating func reported(_ id: QueueID, left: [String], notices: [QueueID], tellsOfDelay: Bool) {
        change(id) {
            // The first state is the one that it was handed out in.
            let isToldOfDelay = tellsOfDelay || $0.states.first?.isToldOfDelay == true
            $0.states.append(State(left: left, isToldOfDelay: isToldOfDelay, notices: notices))
            $0.isInDelivery = false
            $0.wasCut = false
        }
    }

    /// All that was reported so far is durable.
    mutating func settled() {
        for id in ids {
            guard let message = messages[id], !message.isFinished, !message.mayBeDeleted, message.isPromised,
                let last = message.states.last, !last.left.isEmpty
            else { continue }
            for notice in message.states.flatMap(\.notices) { acknowledged(notice) }
            change(id) { $0.states = [State(left: last.left, isToldOfDelay: last.isToldOfDelay)] }
        }
    }

    /// The spool has said that a message is gone for good.
    mutating func removed(_ id: QueueID) {
        guard let message = messages[id], !message.isFinished else { return }
        change(id) { $0.isFinished = true }
        if message.hasReachedItsEnd { for notice in message.states.flatMap(\.notices) { acknowledged(notice) } }
    }

    // MARK: Administration

    enum Operation: Sendable { case hold, release, delete }

    /// Before and after are both acceptable until the answer has come.
    mutating func asked(_ operation: Operation, _ id: QueueID) {
        change(id) {
            switch operation {
            case .hold: $0.holds.insert(true)
            case .release: $0.holds.insert(false)
            case .delete:
                $0.states.append(State(left: []))
                $0.mayBeDeleted = true
            }
        }
    }

    mutating func performed(_ operation: Operation, _ id: QueueID) {
        change(id) {
            switch operation {
            case .hold: $0.holds = [true]
            case .release: $0.holds = [false]
            case .delete: $0.isFinished = true
            }
        }
    }

    // MARK: Restart

    /// A process has ended, whichever way.
    mutating func ended() {
        for id in messages.keys {
            change(id) {
                if $0.isInDelivery { $0.wasCut = true }
                $0.isInDelivery = false
            }
        }
    }

    /// - Parameter isComplete: every message could be read; otherwise one that is missing proves nothing.
    mutating func compare(_ seen: [QueueID: Seen], isComplete: Bool = true) throws {
        for id in seen.keys.sorted() where messages[id] == nil { throw BrokenPromise("\(id) was never handed in") }
        for id in ids {
            if let one = seen[id] { try found(id, one) } else if isComplete { try missing(id) }
        }
    }

    private mutating func found(_ id: QueueID, _ seen: Seen) throws {
        guard let message = messages[id] else { return }
        if message.isFinished { throw BrokenPromise("\(id) was finished and is back") }
        if message.isRefused { throw BrokenPromise("\(id) was refused and is here") }
        guard message.holds.contains(seen.isHeld) else {
            throw BrokenPromise("\(id) is \(seen.isHeld ? "" : "not ")on hold, expected otherwise")
        }
        if seen.isWhole == false { throw BrokenPromise("\(id) has other content than was accepted") }
        // What a restart has shown is durable. Notices have higher ids than what they are about, so their turn comes after this.
        try settle(id, seen.recipients, seen.isToldOfDelay, "has recipients")
        change(id) {
            $0.isPromised = true
            $0.holds = [seen.isHeld]
        }
    }

    private mutating func missing(_ id: QueueID) throws {
        guard let message = messages[id] else { return }
        if message.isPromised, !message.isFinished, !message.mayBeFinished { throw BrokenPromise("\(id) is lost") }
        // What is gone stays gone, and what came with its end must be there.
        change(id) { $0.isFinished = true }
        guard !message.isFinished, message.isPromised, message.hasReachedItsEnd else { return }
        for notice in message.states.flatMap(\.notices) { acknowledged(notice) }
    }
}
