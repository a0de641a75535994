/// An IPv4 or IPv6 address.
package enum IPAddress: Sendable, Hashable, CustomStringConvertible {
    /// Host byte order: `192.0.2.1` is `0xC0000201`.
    case v4(UInt32)
    /// Sixteen bytes, most significant first, as two words.
    case v6(high: UInt64, low: UInt64)

    /// Parses dotted-decimal IPv4 (four parts, no leading zeros beyond one digit) or RFC 4291 IPv6 text, without brackets or zone.
    package init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let words = Self.parseV6(text) else { return nil }
            self = .v6(high: words.high, low: words.low)
        } else {
            guard let value = Self.parseV4(text) else { return nil }
            self = .v4(value)
        }
    }

    /// `::ffff:a.b.c.d` as plain IPv4; any other address unchanged.
    package var unmapped: IPAddress {
        if case .v6(0, let low) = self, low >> 32 == 0xFFFF { return .v4(UInt32(truncatingIfNeeded: low)) }
        return self
    }

    package var bitWidth: Int { if case .v4 = self { 32 } else { 128 } }

    package var isLoopback: Bool {
        switch unmapped {
        case .v4(let value): value >> 24 == 127
        case .v6(let high, let low): high == 0 && low == 1
        }
    }

    /// The form used in address literals and Received headers: `192.0.2.1`, `IPv6:2001:db8::1`.
    package var rfc5321: String { if case .v6 = self { "IPv6:\(self)" } else { description } }

    package var description: String {
        switch self {
        case .v4(let value): "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        case .v6(let high, let low): Self.formatV6(high: high, low: low)
        }
    }

    private static func parseV4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let byte = UInt8(part) else {
                return nil
            }
            if part.utf8.count > 1, part.utf8.first == 0x30 { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    private static func parseV6(_ text: some StringProtocol) -> (high: UInt64, low: UInt64)? {
        var text = String(text)
        // An embedded IPv4 tail becomes two groups.
        if let colon = text.lastIndex(of: ":"), text[colon...].contains(".") {
            guard let tail = parseV4(text[text.index(after: colon)...]) else { return nil }
            text = String(text[...colon]) + String(tail >> 16, radix: 16) + ":" + String(tail & 0xFFFF, radix: 16)
        }
        func groups(_ part: Substring) -> [UInt16]? {
            if part.isEmpty { return [] }
            var out: [UInt16] = []
            for group in part.split(separator: ":", omittingEmptySubsequences: false) {
                guard (1...4).contains(group.utf8.count), group.utf8.first != UInt8(ascii: "+"), let word = UInt16(group, radix: 16) else {
                    return nil
                }
                out.append(word)
            }
            return out
        }
        var all: [UInt16]
        if let gap = text.firstRange(of: "::") {
            guard let head = groups(text[..<gap.lowerBound]), let tail = groups(text[gap.upperBound...]), head.count + tail.count <= 7
            else { return nil }
            all = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let exact = groups(text[...]), exact.count == 8 else { return nil }
            all = exact
        }
        let high = all[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = all[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return (high, low)
    }

    /// RFC 5952: lower case, the longest run of two or more zero groups compressed, IPv4-mapped addresses in dotted form.
    private static func formatV6(high: UInt64, low: UInt64) -> String {
        if high == 0, low >> 32 == 0xFFFF { return "::ffff:\(IPAddress.v4(UInt32(truncatingIfNeeded: low)))" }
        let words = (0..<8).map { index in UInt16(truncatingIfNeeded: (index < 4 ? high : low) >> UInt64((3 - index % 4) * 16)) }
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, words[end] == 0 { end += 1 }
            if end - start > max(best.count, 1) { best = start..<end }
            start = max(end, start + 1)
        }
        func text(_ part: ArraySlice<UInt16>) -> String { part.map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? text(words[...]) : text(words[..<best.lowerBound]) + "::" + text(words[best.upperBound...])
    }
}
