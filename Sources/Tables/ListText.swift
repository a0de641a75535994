import Settings

/// Splits the value of a list parameter: items are separated by commas and white space, `{ }` keeps an item together.
package enum ListText {
    /// The items as written; a group keeps its outer braces. nil if braces do not balance.
    package static func items(_ text: some StringProtocol) -> [String]? {
        ListSyntax.isBalanced(text) ? ListSyntax.elements(text) : nil
    }

    /// The text inside `{ ... }`, trimmed; nil if `item` is no group.
    package static func group(_ item: some StringProtocol) -> String? {
        guard item.utf8.count >= 2, item.first == "{", item.last == "}" else { return nil }
        return trimmed(item.dropFirst().dropLast())
    }

    /// Without leading and trailing white space.
    package static func trimmed(_ text: some StringProtocol) -> String {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
        var bytes = Substring(text).utf8
        while let first = bytes.first, isSpace(first) { bytes = bytes.dropFirst() }
        while let last = bytes.last, isSpace(last) { bytes = bytes.dropLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Whether `item` names a lookup table (`type:name`) rather than a host, an address or a file.
    package static func isTable(_ item: some StringProtocol) -> Bool {
        guard let colon = item.utf8.firstIndex(of: UInt8(ascii: ":")), colon != item.utf8.startIndex else { return false }
        return item.utf8[..<colon].allSatisfy { byte in
            (0x61...0x7A).contains(byte) || (0x41...0x5A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x5F || byte == 0x2D
        }
    }
}
