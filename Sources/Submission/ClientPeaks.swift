package import NIOCore
import SMTPCore

/// The highest counts since the last report: what anvil(8) logs as `statistics: max ...`.
struct ClientPeaks {
    struct Peak {
        var value: Int
        var key: ClientTable.Key
        var time: NIODeadline
    }

    private var rates = [Peak?](repeating: nil, count: ClientLimits.Event.allCases.count)
    private(set) var connections: Peak?
    private(set) var clients: (count: Int, time: NIODeadline)?

    func rate(of event: ClientLimits.Event) -> Peak? { rates[event.rawValue] }

    /// Of equal values the first counts.
    mutating func note(rate value: Int, of event: ClientLimits.Event, _ key: ClientTable.Key, _ now: NIODeadline) {
        if let known = rates[event.rawValue], known.value >= value { return }
        rates[event.rawValue] = Peak(value: value, key: key, time: now)
    }

    mutating func note(connections value: Int, _ key: ClientTable.Key, _ now: NIODeadline) {
        if let connections, connections.value >= value { return }
        connections = Peak(value: value, key: key, time: now)
    }

    mutating func note(clients count: Int, _ now: NIODeadline) {
        if let clients, clients.count >= count { return }
        clients = (count, now)
    }
}

/// One thing that anvil(8) logs when its time has come, in the order in which it does.
package struct ClientStatistic: Sendable, Hashable {
    /// `connection rate 6/60s for (smtp:192.0.2.1)`, `cache size 4`.
    package let text: String
    /// When it was reached.
    package let time: NIODeadline

    static func all(_ peaks: ClientPeaks, window: TimeAmount, service: (UInt16) -> String) -> [ClientStatistic] {
        func statistic(_ name: String, _ peak: ClientPeaks.Peak?, per unit: String) -> ClientStatistic? {
            guard let peak else { return nil }
            let client = peak.key.client
            // Postfix writes an address; of a network its length is worth knowing.
            let isHost = client.prefixLength == client.base.bitWidth
            let text = "\(name) \(peak.value)\(unit) for (\(service(peak.key.service)):\(isHost ? "\(client.base)" : "\(client)"))"
            return ClientStatistic(text: text, time: peak.time)
        }
        let unit = "/\(window.nanoseconds / 1_000_000_000)s"
        func rate(_ name: String, _ event: ClientLimits.Event) -> ClientStatistic? {
            statistic("\(name) rate", peaks.rate(of: event), per: unit)
        }
        let size = peaks.clients.map { ClientStatistic(text: "cache size \($0.count)", time: $0.time) }
        return [
            rate("connection", .connection), statistic("connection count", peaks.connections, per: ""), rate("message", .message),
            rate("recipient", .recipient), rate("newtls", .tlsSession), rate("auth", .auth), size,
        ].compactMap { $0 }
    }
}
