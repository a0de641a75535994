import NIOCore
import SMTPCore
import Submission
import Testing

/// The counters of clients: windows, bounds, and what one generation of the server hands to the next.
@Suite struct ClientLimitsTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func client(_ text: String) throws -> IPNetwork { try #require(IPNetwork(text)) }

    @Test func connectionsAreCountedForEachServiceAndClient() throws {
        let limits = ClientLimits()
        let a = try client("192.0.2.1")
        #expect(limits.connect(service: "smtp", client: a) == 1)
        #expect(limits.connect(service: "smtp", client: a) == 2)
        #expect(limits.connect(service: "submission", client: a) == 1)
        #expect(limits.connect(service: "smtp", client: try client("192.0.2.2")) == 1)
        limits.disconnect(service: "smtp", client: a)
        #expect(limits.connect(service: "smtp", client: a) == 2)
        // One disconnect too many does not make room for one connection more.
        for _ in 0..<5 { limits.disconnect(service: "smtp", client: a) }
        #expect(limits.connect(service: "smtp", client: a) == 1)
    }

    @Test func aWindowEndsForAllEventsOfAClient() throws {
        let limits = ClientLimits(window: .seconds(60))
        let a = try client("192.0.2.1")
        #expect(limits.count(.message, service: "s", client: a, now: start) == 1)
        #expect(limits.count(.message, service: "s", client: a, now: start + .seconds(59)) == 2)
        #expect(limits.count(.auth, service: "s", client: a, now: start + .seconds(59)) == 1)
        #expect(limits.rate(of: .message, service: "s", client: a, now: start + .seconds(59)) == 2)
        #expect(limits.rate(of: .message, service: "s", client: a, now: start + .seconds(60)) == 0)
        #expect(limits.count(.recipient, service: "s", client: a, now: start + .seconds(60)) == 1)
        #expect(limits.rate(of: .message, service: "s", client: a, now: start + .seconds(61)) == 0)
    }

    @Test func theTableIsBoundedAndKeepsThoseWhoAreConnected() throws {
        let limits = ClientLimits(capacity: 64)
        let connected = try (0..<32).map { try client("192.0.2.\($0)") }
        for client in connected { #expect(limits.connect(service: "s", client: client, now: start) == 1) }
        for i in 0..<5000 {
            let stranger = try client("10.0.\(i / 250).\(i % 250)")
            #expect(limits.count(.connection, service: "s", client: stranger, now: start + .milliseconds(Int64(i))) == 1)
        }
        #expect(limits.clientCount == 64)
        for client in connected { #expect(limits.connect(service: "s", client: client, now: start) == 2) }
    }

    @Test func aTableFullOfConnectionsCountsNoOneElse() throws {
        let limits = ClientLimits(capacity: 4)
        for i in 0..<4 { _ = limits.connect(service: "s", client: try client("192.0.2.\(i)")) }
        let late = try client("10.0.0.1")
        #expect(limits.connect(service: "s", client: late) == 1)
        #expect(limits.connect(service: "s", client: late) == 1)
        limits.disconnect(service: "s", client: late)
        #expect(limits.clientCount == 4)
    }

    @Test func theNextGenerationGoesOnCounting() throws {
        let old = ClientLimits(window: .seconds(60))
        let (a, b) = (try client("192.0.2.1"), try client("2001:db8::/64"))
        _ = old.connect(service: "smtp", client: a, now: start)
        _ = old.connect(service: "smtp", client: a, now: start)
        for _ in 0..<7 { _ = old.count(.auth, service: "submission", client: b, now: start) }
        let new = ClientLimits(window: .seconds(60))
        #expect(new.merge(snapshot: old.snapshot(now: start + .seconds(30)), source: 1, now: start + .seconds(31)))
        #expect(new.connect(service: "smtp", client: a, now: start + .seconds(31)) == 3)
        #expect(new.count(.auth, service: "submission", client: b, now: start + .seconds(32)) == 8)
        // The window began in the old generation.
        #expect(new.rate(of: .auth, service: "submission", client: b, now: start + .seconds(62)) == 0)
        // The same report again changes nothing; a later one replaces it.
        #expect(new.merge(snapshot: old.snapshot(now: start + .seconds(33)), source: 1, now: start + .seconds(33)))
        #expect(new.count(.auth, service: "submission", client: b, now: start + .seconds(33)) == 9)
        old.disconnect(service: "smtp", client: a)
        #expect(new.merge(snapshot: old.snapshot(now: start + .seconds(34)), source: 1, now: start + .seconds(34)))
        #expect(new.connect(service: "smtp", client: a, now: start + .seconds(34)) == 3)
        new.forget(source: 1)
        #expect(new.connect(service: "smtp", client: a, now: start + .seconds(35)) == 3)
    }

    @Test func aSnapshotKeepsToItsSizeAndPrefersTheConnected() throws {
        let limits = ClientLimits()
        for i in 0..<1000 { _ = limits.count(.message, service: "smtp", client: try client("10.0.\(i / 250).\(i % 250)"), now: start) }
        let connected = try client("192.0.2.1")
        _ = limits.connect(service: "smtp", client: connected, now: start)
        let bytes = limits.snapshot(maximumSize: 500, now: start)
        #expect(bytes.count <= 500)
        let next = ClientLimits()
        #expect(next.merge(snapshot: bytes, now: start))
        #expect(next.connect(service: "smtp", client: connected, now: start) == 2)
    }

    @Test func anythingButASnapshotChangesNothing() throws {
        let limits = ClientLimits()
        _ = limits.connect(service: "smtp", client: try client("192.0.2.1"), now: start)
        _ = limits.count(.message, service: "submission", client: try client("2001:db8::1"), now: start)
        let good = limits.snapshot(now: start)
        for length in 0..<good.count { #expect(!ClientLimits().merge(snapshot: Array(good[..<length]), now: start)) }
        #expect(!ClientLimits().merge(snapshot: good + [0], now: start))
        // Every byte replaced by every kind of extreme: either refused or taken without a trap.
        for index in good.indices {
            for value: UInt8 in [0, 1, 0x7F, 0x80, 0xFF] {
                var broken = good
                broken[index] = value
                let target = ClientLimits()
                if !target.merge(snapshot: broken, now: start) { #expect(target.clientCount == 0) }
                _ = target.connect(service: "smtp", client: try client("192.0.2.1"), now: start)
                _ = target.snapshot(now: start)
            }
        }
        // A claim of four thousand million clients allocates nothing.
        #expect(!limits.merge(snapshot: [1, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], now: start))
    }
}
