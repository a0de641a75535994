package import SMTPCore

/// A domain name as the DNS carries it (RFC 1035 section 3.1), in the letters it came in; names that differ only in case are equal.
package struct DomainName: Sendable, Hashable, CustomStringConvertible {
    /// Length-prefixed labels and the final zero, uncompressed; at most 255 bytes.
    let wire: [UInt8]

    /// `wire` must be well formed: labels of 1 to 63 bytes, one final zero, at most 255 bytes in all.
    init(wire: [UInt8]) { self.wire = wire }

    package static func == (one: DomainName, other: DomainName) -> Bool {
        one.wire.count == other.wire.count && zip(one.wire, other.wire).allSatisfy { folded($0) == folded($1) }
    }

    package func hash(into hasher: inout Hasher) { for byte in wire { hasher.combine(Self.folded(byte)) } }

    /// Length bytes (at most 63) lie below "A", so this changes only label text.
    private static func folded(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }

    /// Parses dotted text with or without the final dot. nil for the empty name, empty labels, names or labels that are too long, and names
    /// beyond ASCII: the DNS has them in another form (RFC 5890).
    package init?(_ text: String) {
        var wire: [UInt8] = []
        let absolute = text.utf8.last == UInt8(ascii: ".") ? text.dropLast() : text[...]
        guard (1...253).contains(absolute.utf8.count) else { return nil }
        for label in absolute.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false) {
            guard (1...63).contains(label.count), label.allSatisfy({ $0 < 0x80 }) else { return nil }
            wire.append(UInt8(label.count))
            wire.append(contentsOf: label)
        }
        wire.append(0)
        self.init(wire: wire)
    }

    /// The name under which the PTR record of `address` stands: in `in-addr.arpa` or `ip6.arpa` (RFC 1035 section 3.5, RFC 3596).
    package init(reverse address: IPAddress) {
        var labels: [String] = []
        switch address {
        case .v4(let value):
            labels = (0..<4).map { String(value >> UInt32($0 * 8) & 0xFF) } + ["in-addr"]
        case .v6(let high, let low):
            for word in [low, high] { labels += (0..<16).map { String(word >> UInt64($0 * 4) & 0xF, radix: 16) } }
            labels.append("ip6")
        }
        var wire: [UInt8] = []
        for label in labels + ["arpa"] {
            wire.append(UInt8(label.utf8.count))
            wire.append(contentsOf: label.utf8)
        }
        self.init(wire: wire + [0])
    }

    package var isRoot: Bool { wire.count == 1 }

    /// Dotted text without the final dot, empty for the root. Bytes that are not letters, digits, `-`, `_` or other plain punctuation are
    /// written `\DDD` (RFC 4343 section 2.1), so that a dot or a control character inside a label cannot be mistaken for structure.
    package var description: String {
        var text = ""
        var index = 0
        while index < wire.count, wire[index] != 0 {
            let end = index + 1 + Int(wire[index])
            if index > 0 { text += "." }
            for byte in wire[(index + 1)..<end] {
                switch byte {
                case UInt8(ascii: "."), UInt8(ascii: "\\"): text += "\\\(Character(Unicode.Scalar(byte)))"
                case 0x21...0x7E: text.unicodeScalars.append(Unicode.Scalar(byte))
                default: text += "\\" + String(repeating: "0", count: byte < 10 ? 2 : byte < 100 ? 1 : 0) + String(byte)
                }
            }
            index = end
        }
        return text
    }
}
