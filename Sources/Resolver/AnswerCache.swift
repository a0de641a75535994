/// Answers that were given, for as long as they may be kept. A value: the time is an argument.
struct AnswerCache: Sendable {
    /// How long and how many.
    struct Limits: Sendable, Hashable {
        var entries = 10_000
        /// Of records held, in bytes, roughly.
        var bytes = 8 << 20
        /// A record's TTL counts up to this, in seconds, so that a change in the DNS is seen within it.
        var positive: UInt32 = 3_600
        /// The bound for noSuchDomain and noData, in seconds.
        var negative: UInt32 = 300
        /// For negative answers that name no bound, and for failures (RFC 9520: at least 1 second), in seconds.
        var failure: UInt32 = 5
    }

    private struct Entry: Sendable {
        var answer: RecordAnswer
        /// Nanoseconds of the monotonic clock.
        var expiry: UInt64
        var cost: Int
        var serial: UInt64
    }

    private let limits: Limits
    private var entries: [DNSQuestion: Entry] = [:]
    /// In order of insertion, with entries that have been replaced since.
    private var order: [(question: DNSQuestion, serial: UInt64)] = []
    private var head = 0
    private var nextSerial: UInt64 = 0
    private var cost = 0

    init(limits: Limits = Limits()) { self.limits = limits }

    var count: Int { entries.count }

    /// The answer if one is still valid at `now` (nanoseconds of a monotonic clock).
    func answer(to question: DNSQuestion, now: UInt64) -> RecordAnswer? {
        guard let entry = entries[question], entry.expiry > now else { return nil }
        return entry.answer
    }

    /// Keeps an answer for as long as `timeToLive` (seconds; nil if the response gives none) and the limits allow.
    mutating func insert(_ answer: RecordAnswer, to question: DNSQuestion, timeToLive: UInt32?, now: UInt64) {
        let seconds =
            switch answer {
            case .records: min(timeToLive ?? 0, limits.positive)
            case .noData, .noSuchDomain: timeToLive.map { min($0, limits.negative) } ?? limits.failure
            case .failure: limits.failure
            }
        let entryCost = Self.cost(of: answer) + 2 * question.name.wire.count
        // A giant answer is asked for again rather than let it push out everything else.
        guard seconds > 0, entryCost <= limits.bytes / 64, limits.entries > 0 else { return }
        remove(question)
        while entries.count >= limits.entries || cost + entryCost > limits.bytes, evictOldest() {}
        entries[question] = Entry(answer: answer, expiry: now + UInt64(seconds) * 1_000_000_000, cost: entryCost, serial: nextSerial)
        order.append((question, nextSerial))
        nextSerial += 1
        cost += entryCost
        compact()
    }

    private mutating func remove(_ question: DNSQuestion) {
        if let old = entries.removeValue(forKey: question) { cost -= old.cost }
    }

    /// First in, first out. Returns false when there is nothing left.
    private mutating func evictOldest() -> Bool {
        while head < order.count {
            let (question, serial) = order[head]
            head += 1
            if entries[question]?.serial == serial {
                remove(question)
                return true
            }
        }
        return false
    }

    /// Keeps `order` within a small multiple of the entries.
    private mutating func compact() {
        guard order.count > 64, order.count > 2 * entries.count else { return }
        order = order[head...].filter { entries[$0.question]?.serial == $0.serial }
        head = 0
    }

    private static func cost(of answer: RecordAnswer) -> Int {
        switch answer {
        case .records(let records):
            records.reduce(96) { sum, record in
                switch record {
                case .text(let text): sum + 48 + text.count
                case .name(let name), .mailExchanger(_, let name): sum + 48 + name.wire.count
                default: sum + 32
                }
            }
        case .failure(let text): 96 + text.utf8.count
        case .noData, .noSuchDomain: 96
        }
    }
}
