/// Changes some logical lines of a configuration file and leaves every other byte as it is. Pure: text in, text out.
package enum LineEditor {
    package enum Action: Sendable, Hashable {
        /// Put this text (without the last line end) in the place of the logical line.
        case replace(String)
        case remove
        /// Put `#` before each physical line of it.
        case commentOut
    }

    /// Applies what `action` answers for the first physical line of each logical line (nil: leave it). Comments and blank lines inside a
    /// changed line stay. `appended` texts go to the end.
    package static func edit(_ bytes: [UInt8], appending appended: [String] = [], action: (String) -> Action?) -> [UInt8] {
        var out: [UInt8] = []
        var current: Action?
        var isLastLineKept = false
        for line in ConfigText.physicalLines(bytes) {
            let kind = ConfigText.kind(line)
            isLastLineKept = false
            if kind == .start { current = action(String(decoding: line, as: UTF8.self)) }
            switch (kind, current) {
            case (.start, .replace(let text)): out += Array(text.utf8) + [newline]
            case (.continuation, .replace), (.start, .remove), (.continuation, .remove): continue
            case (.start, .commentOut), (.continuation, .commentOut): out += [UInt8(ascii: "#")] + line + [newline]
            default: out += line + [newline]
            }
            isLastLineKept = true
        }
        // A last line without line end stays so, unless another one follows.
        if bytes.last != newline, isLastLineKept, appended.isEmpty { out.removeLast() }
        for text in appended { out += Array(text.utf8) + [newline] }
        return out
    }

    private static let newline = UInt8(ascii: "\n")
}

/// A change that the command line asks for and that cannot be made.
package struct EditError: Error, Sendable, Hashable, CustomStringConvertible {
    package let message: String
    package var description: String { message }

    package init(message: String) { self.message = message }
}

/// What an edit did: the new text, and what the administrator should know.
package struct EditResult: Sendable, Hashable {
    package var bytes: [UInt8]
    package var warnings: [String] = []
}
