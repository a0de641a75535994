import Settings

/// A logical line of a table's source file: continuation lines joined, comments and empty lines dropped (postmap(1)).
struct SourceLine: Sendable, Hashable {
    /// Trimmed at its end; begins with its first non-blank character.
    var text: String
    /// Where its first line stands.
    var location: SourceLocation
}

enum SourceText {
    static func logicalLines(ofFile path: String, at location: SourceLocation?) throws(ConfigurationError) -> [SourceLine] {
        logicalLines(of: try FileText.read(path, at: location), file: path)
    }

    /// A line that starts with white space continues the logical line before it; comments and empty lines in between do not end that one.
    static func logicalLines(of bytes: [UInt8], file: String) -> [SourceLine] {
        var lines: [SourceLine] = []
        var number = 0
        for raw in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let content = trimmedEnd(raw)
            guard let start = content.firstIndex(where: { !isSpace($0) }), content[start] != UInt8(ascii: "#") else { continue }
            let text = String(decoding: content[start...], as: UTF8.self)
            if start > content.startIndex, !lines.isEmpty {
                lines[lines.count - 1].text += " " + text
            } else {
                lines.append(SourceLine(text: text, location: SourceLocation(file: file, line: number)))
            }
        }
        return lines
    }

    /// The first word of a line and the rest, trimmed. A key may be quoted to hold white space: `"a b" value`.
    static func keyAndValue(_ line: String) -> (key: String, value: String) {
        let bytes = line.utf8
        var index = bytes.startIndex
        var quoted = false
        while index < bytes.endIndex {
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") { quoted.toggle() }
            if byte == UInt8(ascii: "\\"), bytes.index(after: index) < bytes.endIndex { index = bytes.index(after: index) }
            if !quoted, isSpace(byte) { break }
            index = bytes.index(after: index)
        }
        return (String(line[..<index]), ListText.trimmed(line[index...]))
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private static func trimmedEnd(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line
        while let last = line.last, isSpace(last) { line = line.dropLast() }
        return line
    }
}
