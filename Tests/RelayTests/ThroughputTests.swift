import Foundation
import MailLog
import NIOCore
import SMTPCore
import Spool
import Synchronization
import Testing

@testable import Relay

/// A measurement, not a check: `POSTERN_RELAY_BENCH=port` names the port of a sink on the loopback interface.
@Suite struct ThroughputTests {
    /// Counts reports, and lets the next job in for each: as many are in delivery as the spool would allow.
    private final class CountingLedger: DeliveryLedger {
        private let count = Mutex(0)
        let storageIsShort = false
        var reported: Int { count.withLock { $0 } }
        func reserveQueueID() async throws -> QueueID { QueueID(rawValue: 1) }
        func record(_ report: DeliveryReport) { count.withLock { $0 += 1 } }
        func submit(_ message: GeneratedMessage) async throws {}
    }

    private struct NoLog: LogSink {
        func write(tag: String, processID: Int, text: String, severity: LogSeverity) {}
    }

    @Test(.enabled(if: ProcessInfo.processInfo.environment["POSTERN_RELAY_BENCH"] != nil)) func deliveries() async throws {
        let environment = ProcessInfo.processInfo.environment
        let port = try #require(Int(environment["POSTERN_RELAY_BENCH"] ?? ""))
        let total = Int(environment["POSTERN_RELAY_MESSAGES"] ?? "") ?? 50_000
        let ledger = CountingLedger()
        let bench = try RelayBench(routes: ["x.example": "smtp:[127.0.0.1]:\(port)"], ledger: ledger, sink: NoLog())
        let content = TestContent(
            bytes: ByteBuffer(string: "Subject: x\r\n\r\n" + String(repeating: String(repeating: "x", count: 70) + "\r\n", count: 57))
        )
        let clock = ContinuousClock()
        let (start, cpu) = (clock.now, Self.cpuSeconds())
        var given = 0
        while ledger.reported < total {
            // As many active at a time as `qmgr_message_active_limit` could be; bounded by what the reports free.
            while given < total, given - ledger.reported < 2_000 {
                bench.agent.deliver(bench.job(to: ["u@x.example"], content))
                given += 1
            }
            try await Task.sleep(for: .milliseconds(1))
        }
        let seconds = Double((clock.now - start) / .milliseconds(1)) / 1000
        let used = Self.cpuSeconds() - cpu
        print("relay: \(total) messages in \(seconds) s: \(Int(Double(total) / seconds)) msg/s, \(used / Double(total) * 1e6) us CPU each")
        try await bench.end()
    }

    private static func cpuSeconds() -> Double {
        // "cpu" fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms.
        let text = (try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / 100
    }
}
