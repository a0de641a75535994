import NIOCore
import SMTPCore
import Synchronization

/// Connection counts and rates per client for one process, what anvil(8) does for Postfix. Safe to use from any thread.
package final class ClientLimits: Sendable {
    enum Event: Int, Sendable {
        case connection, message, recipient, auth, tlsSession
    }

    private struct Key: Hashable {
        var service: String
        var client: IPAddress
    }

    private struct Counters {
        var connections = 0
        var windowStart: NIODeadline
        var events = [Int](repeating: 0, count: 5)
    }

    private struct State {
        var clients: [Key: Counters] = [:]
        var nextSweep = NIODeadline.uptimeNanoseconds(0)
    }

    private let state = Mutex(State())

    /// IPv6 clients are counted by network: one host has a whole /64 of addresses.
    private static let ipv6PrefixLength = 84

    package init() {}

    /// Counts one more connection; returns how many are open now, this one included. Balanced by ``disconnect(service:client:)``.
    func connect(service: String, client: IPAddress) -> Int {
        state.withLock { state in
            let key = Self.key(service, client)
            state.clients[key, default: Counters(windowStart: .now())].connections += 1
            return state.clients[key]?.connections ?? 1
        }
    }

    func disconnect(service: String, client: IPAddress) {
        state.withLock { $0.clients[Self.key(service, client)]?.connections -= 1 }
    }

    /// Counts an event; returns how many there were in the current window (`anvil_rate_time_unit`), this one included.
    func count(_ event: Event, service: String, client: IPAddress, window: TimeAmount) -> Int {
        let now = NIODeadline.now()
        return state.withLock { state in
            if now >= state.nextSweep {
                state.nextSweep = now + window
                state.clients = state.clients.filter { $0.value.connections > 0 || now - $0.value.windowStart < window }
            }
            let key = Self.key(service, client)
            var counters = state.clients[key] ?? Counters(windowStart: now)
            if now - counters.windowStart >= window {
                counters.windowStart = now
                counters.events = [Int](repeating: 0, count: 5)
            }
            counters.events[event.rawValue] += 1
            state.clients[key] = counters
            return counters.events[event.rawValue]
        }
    }

    private static func key(_ service: String, _ client: IPAddress) -> Key {
        let client = client.unmapped
        return Key(service: service, client: client.bitWidth == 128 ? client.masked(to: ipv6PrefixLength) : client)
    }
}
