/// The line structure that main.cf, master.cf and `/file/name` lists share.
package struct ConfigText: Sendable {
    /// One logical line: a text line and the lines that continue it, without their line ends.
    package struct LogicalLine: Sendable, Hashable {
        package var text: String
        /// The physical line it starts on, from 1.
        package var number: Int
        /// Starts with white space although there is no line to continue.
        package var isOrphan: Bool
    }

    /// What a physical line is.
    enum Kind {
        case blank
        case comment
        case start
        case continuation
    }

    package let lines: [LogicalLine]

    /// Splits a file. Comment lines and blank lines are skipped and do not end a logical line; a line that starts with white space
    /// continues the one before. Bytes that are not UTF-8 are replaced.
    package init(_ bytes: [UInt8]) {
        var lines: [LogicalLine] = []
        for (index, physical) in Self.physicalLines(bytes).enumerated() {
            switch Self.kind(physical) {
            case .blank, .comment: continue
            case .continuation where !lines.isEmpty: lines[lines.count - 1].text += String(decoding: physical, as: UTF8.self)
            case .continuation: lines.append(.init(text: String(decoding: physical, as: UTF8.self), number: index + 1, isOrphan: true))
            case .start: lines.append(.init(text: String(decoding: physical, as: UTF8.self), number: index + 1, isOrphan: false))
            }
        }
        self.lines = lines
    }

    package init(_ text: String) { self.init(Array(text.utf8)) }

    /// The lines without their LF. A last line without LF counts, an empty rest does not.
    static func physicalLines(_ bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var out = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if out.last?.isEmpty == true { out.removeLast() }
        return out
    }

    static func kind(_ line: ArraySlice<UInt8>) -> Kind {
        guard let first = line.firstIndex(where: { !ListSyntax.isSpace($0) }) else { return .blank }
        if line[first] == UInt8(ascii: "#") { return .comment }
        return first == line.startIndex ? .start : .continuation
    }
}
