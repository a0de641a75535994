/// A command line of SMTP, taken apart.
struct SinkCommandLine: Sendable, Hashable {
    /// Upper case.
    var verb: String
    var argument: String

    init(_ line: String) {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        verb = parts[0].uppercased()
        argument = parts.count == 2 ? String(parts[1].drop { $0 == " " }.trimmingSuffix { $0 == " " }) : ""
    }

    /// The path and parameters of `FROM:<path> KEY=VALUE ...` or `TO:...`; nil on bad syntax. Quoted local parts may hold `>` and blanks.
    static func path(_ argument: String, after keyword: String) -> SinkPath? {
        guard argument.utf8.count > keyword.utf8.count, argument.prefix(keyword.count).uppercased() == keyword else { return nil }
        let rest = argument.dropFirst(keyword.count).drop { $0 == " " }
        guard rest.first == "<" else { return nil }
        var isQuoted = false
        var isEscaped = false
        for index in rest.indices.dropFirst() {
            let character = rest[index]
            if isEscaped {
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "\"" {
                isQuoted.toggle()
            } else if character == ">", !isQuoted {
                let after = rest[rest.index(after: index)...]
                guard after.isEmpty || after.first == " " else { return nil }
                let path = String(rest[rest.index(after: rest.startIndex)..<index])
                return SinkPath(path: path, parameters: after.split(separator: " ").map(String.init))
            }
        }
        return nil
    }
}

/// A reverse-path or forward-path as it came, without `<>`, and the ESMTP parameters after it.
package struct SinkPath: Sendable, Hashable {
    package var path: String
    package var parameters: [String]

    /// The value of a parameter, whose name is compared without regard to case; nil if it is absent or has none.
    package func value(of name: String) -> String? {
        for parameter in parameters {
            let halves = parameter.split(separator: "=", maxSplits: 1)
            if halves.count == 2, halves[0].uppercased() == name.uppercased() { return String(halves[1]) }
        }
        return nil
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while predicate: (Character) -> Bool) -> Substring {
        var text = self
        while let last = text.last, predicate(last) { text.removeLast() }
        return text
    }
}

/// Base 64 (RFC 4648 section 4) as SASL uses it: no blanks, padding required.
enum Base64 {
    static func decode(_ text: String) -> [UInt8]? {
        let bytes = Array(text.utf8)
        guard bytes.count % 4 == 0 else { return nil }
        let padding = bytes.suffix(2).count { $0 == UInt8(ascii: "=") }
        var out: [UInt8] = []
        var bits: UInt32 = 0
        for (index, byte) in bytes.enumerated() {
            let value: UInt32
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = UInt32(byte) - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = UInt32(byte) - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = UInt32(byte) + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "=") where index >= bytes.count - padding: value = 0
            default: return nil
            }
            bits = bits << 6 | value
            if index % 4 == 3 {
                out += [UInt8(bits >> 16 & 255), UInt8(bits >> 8 & 255), UInt8(bits & 255)]
                bits = 0
            }
        }
        return Array(out.dropLast(padding))
    }
}
