import NIOCore
import SMTPCore

/// The counters of ``ClientLimits`` as bytes, which travel from one generation of the server to the next.
///
/// Layout, big-endian: version (1 byte), number of services (2), each as length (1) and UTF-8; number of clients (4), each as service (2),
/// address length (1, 4 or 16), address, prefix length (1), open connections (4), age of the window in milliseconds (4), and the five event counts (4 each).
struct ClientSnapshot {
    struct Client: Hashable {
        var service: String
        var client: IPNetwork
        var connections: UInt32
        var windowAge: TimeAmount
        var events: EventCounts
    }

    private(set) var clients: [Client] = []

    private static let version: UInt8 = 1
    /// More than a reader has to believe.
    private static let maximumClients = 1_000_000

    /// The clients that fit into `maximumSize`: the connected ones first, then by events.
    init(clients: [Client], maximumSize: Int) {
        let ranked = clients.sorted { ($0.connections, $0.events.total) > ($1.connections, $1.events.total) }
        var size = 7
        var services: Set<String> = []
        for client in ranked where client.service.utf8.count <= 255 {
            let needed = Self.size(client) + (services.contains(client.service) ? 0 : 1 + client.service.utf8.count)
            guard size + needed <= maximumSize else { break }
            size += needed
            services.insert(client.service)
            self.clients.append(client)
        }
    }

    private static func size(_ client: Client) -> Int { 2 + 1 + client.client.base.bitWidth / 8 + 1 + 4 + 4 + 20 }

    var bytes: [UInt8] {
        var out = ByteBuffer()
        let names = Set(clients.map(\.service)).sorted()
        out.writeInteger(Self.version)
        out.writeInteger(UInt16(truncatingIfNeeded: names.count))
        for name in names {
            out.writeInteger(UInt8(truncatingIfNeeded: name.utf8.count))
            out.writeString(name)
        }
        let numbers = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, UInt16(truncatingIfNeeded: $0)) })
        out.writeInteger(UInt32(truncatingIfNeeded: clients.count))
        for client in clients { Self.write(client, numbers[client.service] ?? 0, into: &out) }
        return Array(out.readableBytesView)
    }

    private static func write(_ client: Client, _ service: UInt16, into out: inout ByteBuffer) {
        out.writeInteger(service)
        switch client.client.base {
        case .v4(let address):
            out.writeInteger(UInt8(4))
            out.writeInteger(address)
        case .v6(let high, let low):
            out.writeInteger(UInt8(16))
            out.writeInteger(high)
            out.writeInteger(low)
        }
        out.writeInteger(UInt8(truncatingIfNeeded: client.client.prefixLength))
        out.writeInteger(client.connections)
        out.writeInteger(UInt32(clamping: client.windowAge.nanoseconds / 1_000_000))
        for event in ClientLimits.Event.allCases { out.writeInteger(client.events[event]) }
    }

    /// nil when the bytes are not exactly one snapshot.
    init?(_ bytes: [UInt8]) {
        var input = ByteBuffer(bytes: bytes)
        guard input.readInteger(as: UInt8.self) == Self.version, let serviceCount = input.readInteger(as: UInt16.self) else { return nil }
        var services: [String] = []
        for _ in 0..<serviceCount {
            guard let length = input.readInteger(as: UInt8.self), let name = input.readBytes(length: Int(length)),
                let text = String(validating: name, as: UTF8.self)
            else { return nil }
            services.append(text)
        }
        guard let count = input.readInteger(as: UInt32.self), count <= Self.maximumClients else { return nil }
        for _ in 0..<count {
            guard let client = Self.read(&input, services) else { return nil }
            clients.append(client)
        }
        guard input.readableBytes == 0 else { return nil }
    }

    private static func read(_ input: inout ByteBuffer, _ services: [String]) -> Client? {
        guard let service = input.readInteger(as: UInt16.self), services.indices.contains(Int(service)),
            let address = readAddress(&input),
            let prefix = input.readInteger(as: UInt8.self), let client = IPNetwork(address, prefixLength: Int(prefix)),
            let connections = input.readInteger(as: UInt32.self), let age = input.readInteger(as: UInt32.self)
        else { return nil }
        var events = EventCounts()
        for event in ClientLimits.Event.allCases {
            guard let count = input.readInteger(as: UInt32.self) else { return nil }
            events[event] = count
        }
        return Client(
            service: services[Int(service)],
            client: client,
            connections: connections,
            windowAge: .milliseconds(Int64(age)),
            events: events
        )
    }

    private static func readAddress(_ input: inout ByteBuffer) -> IPAddress? {
        switch input.readInteger(as: UInt8.self) {
        case 4: return input.readInteger(as: UInt32.self).map { .v4($0) }
        case 16:
            guard let high = input.readInteger(as: UInt64.self), let low = input.readInteger(as: UInt64.self) else { return nil }
            return .v6(high: high, low: low)
        default: return nil
        }
    }
}
