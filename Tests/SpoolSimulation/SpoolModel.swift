import SMTPCore

/// A promise that was not kept.
struct BrokenPromise: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// What may be true of the messages of a spool: the promise of Docs/spool.md without files, threads or clocks. Every call that hands
/// something to the spool, and every answer of it, is told to the model; ``compare(_:)`` after a restart says whether the promise was kept.
struct SpoolModel: Sendable {
    struct Message: Sendable {
        var size: Int
        /// Acceptable lists of recipients left, oldest first; the empty one stands for finished. The spool may be in any of them.
        var states: [[String]]
        /// Acknowledged, or seen after a restart: it may not be missing unless a state says that it is finished.
        var isPromised = false
        var isFinished = false
        /// Refused for good, or undone by a crash: it may never appear.
        var isRefused = false
        var holds: Set<Bool> = [false]
        /// The administrator has asked for its end, so that a missing bounce proves nothing.
        var mayBeDeleted = false
        /// The messages that come into being together with the end of this one.
        var bounces: [QueueID] = []
        /// Given to the relay, which has not reported.
        var isInDelivery = false
        /// It was in delivery when a process ended: the next delivery may be the second one.
        var wasCut = false
        var arrival = 0.0
    }

    /// A message as the spool shows it.
    struct Seen: Sendable {
        var recipients: [String]
        var isHeld: Bool
        /// Its content is what was handed in, to the byte; nil if it could not be read for a fault of the disk.
        var isWhole: Bool?

        init(recipients: [String], isHeld: Bool, isWhole: Bool?) {
            self.recipients = recipients
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
        messages[id] = Message(size: size, states: [recipients], arrival: arrival)
    }

    mutating func acknowledged(_ id: QueueID) { change(id) { $0.isPromised = true } }

    /// - Parameter isFinal: that the spool was able to make the refusal durable.
    mutating func refused(_ id: QueueID, isFinal: Bool) { change(id) { $0.isRefused = $0.isRefused || isFinal } }

    // MARK: Delivery

    /// - Parameter mayBeDuplicate: what the spool says of it; nil if it cannot know. It goes by the time of the next attempt, which says nothing
    ///   once the clock was set, and a clean end forgets it of what is on hold.
    mutating func activated(_ id: QueueID, to recipients: [String], mayBeDuplicate: Bool?) throws {
        guard let message = messages[id] else { throw BrokenPromise("\(id) is delivered and was never handed in") }
        if message.isFinished { throw BrokenPromise("\(id) was finished and is delivered again") }
        if message.isRefused { throw BrokenPromise("\(id) was refused and is delivered") }
        if message.isInDelivery { throw BrokenPromise("\(id) is delivered twice at the same time") }
        if message.holds == [true] { throw BrokenPromise("\(id) is on hold and is delivered") }
        guard message.states.contains(recipients) else {
            throw BrokenPromise("\(id) is delivered to \(recipients), expected one of \(message.states)")
        }
        if message.wasCut, mayBeDuplicate == false { throw BrokenPromise("\(id) may be a duplicate, and nobody is told") }
        // Whatever was reported of it before and did not become durable is lost, and so are the bounces that came with it.
        for bounce in message.bounces { change(bounce) { $0.isRefused = true } }
        change(id) {
            $0.isInDelivery = true
            $0.states = [recipients]
            $0.bounces = []
        }
    }

    /// The relay's report: recipients left, and the bounces that must appear with the end of the message.
    mutating func reported(_ id: QueueID, left: [String], bounces: [QueueID]) {
        change(id) {
            $0.states.append(left)
            $0.isInDelivery = false
            $0.wasCut = false
            if !bounces.isEmpty { $0.bounces = bounces }
        }
    }

    /// All that was reported so far is durable.
    mutating func settled() {
        for id in messages.keys {
            change(id) {
                if !$0.isFinished, !$0.mayBeDeleted, let last = $0.states.last, last != [], $0.isPromised { $0.states = [last] }
            }
        }
    }

    /// The spool has said that a message is gone for good.
    mutating func removed(_ id: QueueID) {
        guard let message = messages[id], !message.isFinished else { return }
        change(id) { $0.isFinished = true }
        if message.states.last == [], !message.mayBeDeleted { for bounce in message.bounces { acknowledged(bounce) } }
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
                $0.states.append([])
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
            if let one = seen[id] { try found(id, one, seen) } else if isComplete { try missing(id, seen) }
        }
    }

    private mutating func found(_ id: QueueID, _ seen: Seen, _ all: [QueueID: Seen]) throws {
        guard let message = messages[id] else { return }
        if message.isFinished { throw BrokenPromise("\(id) was finished and is back") }
        if message.isRefused { throw BrokenPromise("\(id) was refused and is here") }
        guard let state = message.states.lastIndex(of: seen.recipients) else {
            throw BrokenPromise("\(id) has recipients \(seen.recipients), expected one of \(message.states)")
        }
        guard message.holds.contains(seen.isHeld) else {
            throw BrokenPromise("\(id) is \(seen.isHeld ? "" : "not ")on hold, expected otherwise")
        }
        if seen.isWhole == false { throw BrokenPromise("\(id) has other content than was accepted") }
        // What a restart has shown is durable.
        change(id) {
            $0.isPromised = true
            $0.states = [message.states[state]]
            $0.holds = [seen.isHeld]
        }
        for bounce in message.bounces {
            if all[bounce] != nil { throw BrokenPromise("bounce \(bounce) is here although \(id) is not finished") }
            // The report was lost, and its bounces with it.
            change(bounce) { $0.isRefused = true }
        }
        change(id) { $0.bounces = [] }
    }

    private mutating func missing(_ id: QueueID, _ all: [QueueID: Seen]) throws {
        guard let message = messages[id] else { return }
        if message.isPromised, !message.isFinished, !message.states.contains([]) { throw BrokenPromise("\(id) is lost") }
        // What is gone stays gone.
        change(id) { $0.isFinished = true }
        guard !message.isFinished, !message.mayBeDeleted, message.states.last == [] else { return }
        for bounce in message.bounces where all[bounce] == nil && messages[bounce]?.isFinished == false {
            throw BrokenPromise("\(id) is finished and its bounce \(bounce) is lost")
        }
    }
}
