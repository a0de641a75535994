import NIOCore
import SMTPCore
import Testing

@testable import Submission

/// What anvil(8) logs of the busiest clients: each line was seen in the log of Postfix 3.7.11 after the same events.
@Suite struct ClientStatisticsTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func client(_ text: String) throws -> IPNetwork { try #require(IPNetwork(text)) }

    @Test func theHighestCountsWithTheirClientsAndTimes() throws {
        let limits = ClientLimits()
        let (a, b) = (try client("192.0.2.1"), try client("192.0.2.2"))
        for second in 0..<3 {
            #expect(limits.connect(service: "smtp", client: a, now: start + .seconds(Int64(second))) == second + 1)
            _ = limits.count(.connection, service: "smtp", client: a, now: start + .seconds(Int64(second)))
        }
        for _ in 0..<3 { limits.disconnect(service: "smtp", client: a) }
        // As many, but later: the first counts.
        for second in 4..<7 { _ = limits.count(.connection, service: "submission", client: b, now: start + .seconds(Int64(second))) }
        _ = limits.count(.message, service: "submission", client: b, now: start + .seconds(7))
        for _ in 0..<2 { _ = limits.count(.recipient, service: "submission", client: b, now: start + .seconds(8)) }
        _ = limits.count(.tlsSession, service: "smtp", client: a, now: start + .seconds(9))
        _ = limits.count(.auth, service: "smtp", client: a, now: start + .seconds(10))
        let statistics = limits.takeStatistics()
        #expect(
            statistics.map(\.text) == [
                "connection rate 3/60s for (smtp:192.0.2.1)", "connection count 3 for (smtp:192.0.2.1)",
                "message rate 1/60s for (submission:192.0.2.2)", "recipient rate 2/60s for (submission:192.0.2.2)",
                "newtls rate 1/60s for (smtp:192.0.2.1)", "auth rate 1/60s for (smtp:192.0.2.1)", "cache size 2",
            ]
        )
        #expect(statistics.map { ($0.time - start).nanoseconds / 1_000_000_000 } == [2, 2, 7, 8, 9, 10, 4])
        #expect(limits.takeStatistics().isEmpty)
    }

    @Test func eachReportBeginsAnew() throws {
        let limits = ClientLimits(window: .seconds(30))
        let network = try client("2001:db8::/84")
        _ = limits.count(.connection, service: "smtp", client: network, now: start)
        #expect(limits.takeStatistics().count == 2)
        _ = limits.count(.connection, service: "smtp", client: network, now: start + .seconds(1))
        #expect(limits.takeStatistics().map(\.text) == ["connection rate 2/30s for (smtp:2001:db8::/84)", "cache size 1"])
        #expect(limits.takeStatistics().isEmpty)
    }
}
