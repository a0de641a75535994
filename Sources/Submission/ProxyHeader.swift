package import SMTPCore

/// What a HAProxy PROXY protocol header says, version 1 (text) or 2 (binary).
package enum ProxyHeader: Sendable, Hashable {
    /// The client's end and ours, as the proxy saw them.
    case proxied(client: IPAddress, clientPort: Int, server: IPAddress, serverPort: Int)
    /// Version 2, LOCAL: the proxy speaks for itself (a health check); the connection's own addresses count.
    case local

    package enum Parsing: Sendable, Hashable {
        /// More bytes are needed.
        case incomplete
        case complete(ProxyHeader, length: Int)
        /// Never to become a header; the reason is for the log.
        case broken(String)
    }

    /// Version 1: the longest line the protocol allows, CRLF included.
    private static let longestLine = 107
    /// Version 2: room for the type-length-values that follow the addresses, which nothing here needs.
    private static let longestBody = 4096
    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    /// Reads a header at the beginning of what a connection has sent.
    /// - Parameters:
    ///   - acceptsIPv4: `inet_protocols` names IPv4.
    ///   - acceptsIPv6: `inet_protocols` names IPv6.
    package static func parse(_ bytes: some Collection<UInt8>, acceptsIPv4: Bool = true, acceptsIPv6: Bool = true) -> Parsing {
        let bytes = Array(bytes.prefix(16 + longestBody))
        let result: Parsing =
            if bytes.starts(with: signature.prefix(bytes.count)) {
                parseBinary(bytes)
            } else if bytes.starts(with: Array("PROXY ".utf8).prefix(bytes.count)) {
                parseText(bytes)
            } else {
                .broken("unrecognized protocol header")
            }
        guard case .complete(.proxied(let client, _, _, _), _) = result else { return result }
        return (client.bitWidth == 32 ? acceptsIPv4 : acceptsIPv6) ? result : .broken("bad or missing protocol type")
    }

    private static func parseText(_ bytes: [UInt8]) -> Parsing {
        guard let lineFeed = bytes.prefix(longestLine).firstIndex(of: UInt8(ascii: "\n")) else {
            return bytes.count < longestLine ? .incomplete : .broken("missing protocol header terminator")
        }
        guard lineFeed > 0, bytes[lineFeed - 1] == UInt8(ascii: "\r") else { return .broken("missing protocol header terminator") }
        let words = bytes[..<(lineFeed - 1)].split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        let width: Int
        switch words.dropFirst().first {
        case "TCP4": width = 32
        case "TCP6": width = 128
        default: return .broken("bad or missing protocol type")
        }
        func address(_ index: Int) -> IPAddress? {
            guard words.indices.contains(index), let address = IPAddress(words[index]), address.bitWidth == width else { return nil }
            return address
        }
        func port(_ index: Int) -> Int? { words.indices.contains(index) ? Self.port(words[index]) : nil }
        guard let client = address(2) else { return .broken("bad or missing client address") }
        guard let server = address(3) else { return .broken("bad or missing server address") }
        guard let clientPort = port(4) else { return .broken("bad or missing client port") }
        guard let serverPort = port(5), words.count == 6 else { return .broken("bad or missing server port") }
        return .complete(
            .proxied(client: client.unmapped, clientPort: clientPort, server: server.unmapped, serverPort: serverPort),
            length: lineFeed + 1
        )
    }

    /// Decimal, 0 to 65535, digits only.
    static func port(_ text: some StringProtocol) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy(\.isASCIIDigit), let port = UInt16(text) else { return nil }
        return Int(port)
    }

    private static func parseBinary(_ bytes: [UInt8]) -> Parsing {
        guard bytes.count >= 16 else { return .incomplete }
        guard bytes[12] >> 4 == 2 else { return .broken("unrecognized protocol version") }
        let length = Int(bytes[14]) << 8 | Int(bytes[15])
        guard length <= longestBody else { return .broken("short version 2 protocol header") }
        let command = bytes[12] & 0x0F
        guard command == 0 || command == 1 else { return .broken("bad command in proxy header") }
        let needed: Int
        switch bytes[13] {
        case _ where command == 0: needed = 0
        case 0x11: needed = 12
        case 0x21: needed = 36
        default: return .broken("unsupported network protocol")
        }
        guard length >= needed else { return .broken("short address field") }
        guard bytes.count >= 16 + length else { return .incomplete }
        let body = Array(bytes[16..<(16 + length)])
        return .complete(command == 0 ? .local : addresses(body, isIPv4: bytes[13] == 0x11), length: 16 + length)
    }

    private static func addresses(_ body: [UInt8], isIPv4: Bool) -> ProxyHeader {
        func number(_ range: Range<Int>) -> UInt64 { body[range].reduce(0) { $0 << 8 | UInt64($1) } }
        func address(_ start: Int) -> IPAddress {
            isIPv4
                ? .v4(UInt32(truncatingIfNeeded: number(start..<(start + 4))))
                : IPAddress.v6(high: number(start..<(start + 8)), low: number((start + 8)..<(start + 16))).unmapped
        }
        let size = isIPv4 ? 4 : 16
        return .proxied(
            client: address(0),
            clientPort: Int(number((2 * size)..<(2 * size + 2))),
            server: address(size),
            serverPort: Int(number((2 * size + 2)..<(2 * size + 4)))
        )
    }
}
