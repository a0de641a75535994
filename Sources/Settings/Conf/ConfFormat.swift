/// postconf's output format.
package enum ConfFormat {
    /// The last column of a folded line of main.cf; master.cf's end one earlier.
    static let width = 80

    /// `name = value`, or one of both. White space inside the value becomes single spaces; `folded` continues lines before column 80.
    package static func line(_ name: String, _ value: String, style: ConfStyle) -> String {
        switch style.parts {
        case .name: name
        case .value: joined(words(value), folded: style.folded)
        case .both: joined([name, "="] + words(value), folded: style.folded)
        }
    }

    static func words(_ text: String) -> [String] {
        text.utf8.split(whereSeparator: ListSyntax.isSpace).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Joins words with spaces; folded, a word that would end beyond the width starts a continuation line. `column` is where the first starts.
    static func joined(_ words: [String], folded: Bool, column start: Int = 0, width: Int = width) -> String {
        var out = ""
        var column = start
        for (index, word) in words.enumerated() {
            if index > 0 {
                if folded, column + 1 + word.utf8.count > width {
                    out += "\n    "
                    column = 4
                } else {
                    out += " "
                    column += 1
                }
            }
            out += word
            column += word.utf8.count
        }
        return out
    }
}

/// How to print.
package struct ConfStyle: Sendable, Hashable {
    package enum Parts: Sendable { case both, name, value }

    package var parts: Parts
    /// Break long lines for human readers.
    package var folded: Bool

    package init(parts: Parts = .both, folded: Bool = false) {
        self.parts = parts
        self.folded = folded
    }
}

extension MasterEntry {
    /// The columns as postconf calls them; the last takes command and arguments.
    static let fieldNames = ["service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command"]

    /// The first seven columns.
    var columns: [String] {
        func flag(_ value: Bool?) -> String { value.map { $0 ? "y" : "n" } ?? "-" }
        return [service, type.rawValue, flag(isPrivate), flag(isUnprivileged), flag(chroot), wakeup, processLimit.map(String.init) ?? "-"]
    }

    /// The words of command and arguments, each `-o` in one with its setting.
    private var commandWords: [String] {
        var out = [command]
        var index = 0
        var inOptions = true
        while index < arguments.count {
            let text = arguments[index].text
            if !text.hasPrefix("-") { inOptions = false }
            if inOptions, text == "-o", index + 1 < arguments.count {
                out.append("-o " + Argument(text: Self.tidy(arguments[index + 1].text)).quoted)
                index += 2
            } else {
                out.append(arguments[index].quoted)
                index += 1
            }
        }
        return out
    }

    /// `name = value` as `name=value`.
    private static func tidy(_ setting: String) -> String {
        guard case .success(let (name, value)) = MainFile.assignment(setting) else { return setting }
        return "\(name)=\(value)"
    }

    /// Command and arguments in one line.
    var commandLine: String { commandWords.joined(separator: " ") }

    /// The line as `postconf -M` prints it; `folded` as with `-Mf`, each `-o` on a line of its own.
    package func formatted(folded: Bool) -> String {
        var out = ""
        for (text, start) in zip(columns, [0, 11, 17, 25, 33, 41, 49]) {
            if start > 0 { out += String(repeating: " ", count: max(1, start - out.utf8.count)) }
            out += text
        }
        out += String(repeating: " ", count: max(1, 57 - out.utf8.count))
        return out + (folded ? foldedCommandLine(column: out.utf8.count) : commandLine)
    }

    /// Command and arguments: each -o begins a line, and so does what follows it.
    func foldedCommandLine(column: Int) -> String {
        var lines: [[String]] = [[]]
        for word in commandWords {
            if word.hasPrefix("-o ") {
                lines += [[word], []]
            } else {
                lines[lines.count - 1].append(word)
            }
        }
        let texts = lines.filter { !$0.isEmpty }.enumerated().map { index, words in
            ConfFormat.joined(words, folded: true, column: index == 0 ? column : 4, width: ConfFormat.width - 1)
        }
        return texts.joined(separator: "\n    ")
    }
}
