/// How Postfix splits a list: commas and white space separate, `{ ... }` keeps its inside together.
package enum ListSyntax {
    /// The elements; a group keeps its braces. An opening brace without its closing one runs to the end of the text.
    package static func elements(_ text: some StringProtocol) -> [String] {
        var out: [String] = []
        var current: [UInt8] = []
        var depth = 0
        func flush() {
            if !current.isEmpty { out.append(String(decoding: current, as: UTF8.self)) }
            current.removeAll()
        }
        for byte in text.utf8 {
            if depth == 0, isSeparator(byte) {
                flush()
                continue
            }
            if byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "}"), depth > 0 { depth -= 1 }
            current.append(byte)
        }
        flush()
        return out
    }

    /// Whether each `{` has its `}` and none closes too early.
    package static func isBalanced(_ text: some StringProtocol) -> Bool {
        var depth = 0
        for byte in text.utf8 {
            if byte == UInt8(ascii: "{") { depth += 1 }
            if byte == UInt8(ascii: "}") { depth -= 1 }
            if depth < 0 { return false }
        }
        return depth == 0
    }

    static func isSeparator(_ byte: UInt8) -> Bool { byte == UInt8(ascii: ",") || isSpace(byte) }

    /// White space as C's isspace(3) has it.
    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
}

extension StringProtocol {
    /// Without white space at both ends.
    func trimmed() -> String {
        var rest = self[...]
        while let first = rest.utf8.first, ListSyntax.isSpace(first) { rest = rest.dropFirst() }
        while let last = rest.last, last.utf8.allSatisfy(ListSyntax.isSpace) { rest = rest.dropLast() }
        return String(rest)
    }
}
