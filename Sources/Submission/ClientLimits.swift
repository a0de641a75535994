package import NIOCore
package import SMTPCore
import Synchronization

/// Connection counts and rates per client for one process, what anvil(8) does for Postfix. Safe to use from any thread.
///
/// Clients are counted by network (`smtpd_client_ipv4_prefix_length`, `smtpd_client_ipv6_prefix_length`) and service. The table holds at
/// most ``capacity`` of them. When it is full, the longest silent of a few makes room for a new one; a client with an open connection
/// is never forgotten.
package final class ClientLimits: Sendable {
    package enum Event: Int, Sendable, CaseIterable {
        case connection, message, recipient, auth, tlsSession
    }

    private let state: Mutex<ClientTable>
    /// `anvil_rate_time_unit`: the window in which events are counted, one for the whole server.
    private let window: TimeAmount

    /// - Parameters:
    ///   - window: `anvil_rate_time_unit`.
    ///   - capacity: clients remembered at most, about 150 bytes each.
    package init(window: TimeAmount = .seconds(60), capacity: Int = 65_536) {
        self.window = window
        state = Mutex(ClientTable(capacity: max(1, capacity), window: window))
    }

    /// Counts one more connection; returns how many are open now, this one included. Balanced by ``disconnect(service:client:)``.
    package func connect(service: String, client: IPNetwork, now: NIODeadline = .now()) -> Int {
        state.withLock { $0.connect(service, client, now) }
    }

    package func disconnect(service: String, client: IPNetwork) {
        state.withLock { $0.disconnect(service, client) }
    }

    /// Counts an event; returns how many there were in the current window, this one included.
    package func count(_ event: Event, service: String, client: IPNetwork, now: NIODeadline = .now()) -> Int {
        state.withLock { $0.count(event, service, client, now) }
    }

    /// How many events there were in the current window, without counting one.
    package func rate(of event: Event, service: String, client: IPNetwork, now: NIODeadline = .now()) -> Int {
        state.withLock { $0.rate(event, service, client, now) }
    }

    /// Clients remembered now.
    package var clientCount: Int { state.withLock { $0.clientCount } }

    /// What anvil(8) logs of the time since the last call: the highest counts, each with its client and time.
    package func takeStatistics() -> [ClientStatistic] { state.withLock { $0.takeStatistics() } }

    /// All counters, for the next generation of the server: those of open connections first, then the busiest, as many as fit.
    /// - Parameter maximumSize: bytes.
    package func snapshot(maximumSize: Int = 64 * 1024, now: NIODeadline = .now()) -> [UInt8] {
        let clients = state.withLock { $0.report(now) }
        return ClientSnapshot(clients: clients, maximumSize: maximumSize).bytes
    }

    /// Takes over another generation's counters. Its open connections replace what `source` reported before, so it may report again and
    /// again while its sessions end; of each rate the higher value counts.
    ///
    /// - Parameter source: which generation the snapshot is from; ``forget(source:)`` must follow when it is gone.
    /// - Returns: false, with nothing changed, when the bytes are no snapshot.
    package func merge(snapshot bytes: [UInt8], source: Int = 0, now: NIODeadline = .now()) -> Bool {
        guard let snapshot = ClientSnapshot(bytes) else { return false }
        state.withLock { $0.merge(snapshot.clients, source, now) }
        return true
    }

    /// The generation `source` has ended, and its connections with it.
    package func forget(source: Int) { state.withLock { $0.forget(source) } }
}
