import SMTPCore
import Testing

@testable import Resolver

@Suite struct CacheTests {
    private let second: UInt64 = 1_000_000_000
    private func question(_ index: Int) -> DNSQuestion { DNSQuestion(name: DomainName("h\(index).example")!, type: .a) }
    private let answer = RecordAnswer.records([.address(.v4(1))])

    @Test(arguments: [
        (RecordAnswer.records([.address(.v4(1))]), UInt32?(60), 60), (.records([.address(.v4(1))]), 90_000, 3_600),
        (.records([.address(.v4(1))]), 0, 0), (.noData, 10, 10), (.noData, 9_000, 300), (.noSuchDomain, nil, 5), (.failure("x"), nil, 5),
    ])
    func keepsFor(answer: RecordAnswer, timeToLive: UInt32?, seconds: Int) {
        var cache = AnswerCache()
        cache.insert(answer, to: question(1), timeToLive: timeToLive, now: 7 * second)
        let end = UInt64(7 + seconds) * second
        #expect(cache.answer(to: question(1), now: end) == nil)
        if seconds > 0 { #expect(cache.answer(to: question(1), now: end - 1) == answer) }
    }

    @Test func staysWithinItsNumberOfEntries() {
        var limits = AnswerCache.Limits()
        limits.entries = 100
        var cache = AnswerCache(limits: limits)
        for index in 0..<1_000 {
            cache.insert(answer, to: question(index), timeToLive: 60, now: 0)
            // Replacing an entry must not push out another.
            cache.insert(answer, to: question(index), timeToLive: 60, now: 0)
        }
        #expect(cache.count == 100)
        #expect(cache.answer(to: question(999), now: 1) == answer)
        #expect(cache.answer(to: question(900), now: 1) == answer)
        #expect(cache.answer(to: question(899), now: 1) == nil)
    }

    @Test func staysWithinItsBytes() {
        var limits = AnswerCache.Limits()
        limits.bytes = 64 * 1_024
        var cache = AnswerCache(limits: limits)
        cache.insert(.records([.text(Array(repeating: 0x61, count: 60_000))]), to: question(0), timeToLive: 60, now: 0)
        #expect(cache.count == 0)
        for index in 1...1_000 {
            cache.insert(.records([.text(Array(repeating: 0x61, count: 700))]), to: question(index), timeToLive: 60, now: 0)
        }
        #expect((50...80).contains(cache.count))
    }
}
