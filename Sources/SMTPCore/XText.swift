/// The two encodings of RFC 3461 parameters: xtext (section 4) and the unitext of RFC 6533 section 3.
package enum XText {
    /// Decodes xtext: `+HH` stands for a byte, all else for itself, as smtpd(8) reads it. nil where `+` is not followed by two digits.
    /// The result may hold any byte.
    package static func decoded(_ text: some Collection<UInt8>) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        var rest = text[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "+") else {
                out.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else { return nil }
            out.append(high << 4 | low)
        }
        return out
    }

    /// The xtext form: what is not visible ASCII, `+` and `=` become `+HH`.
    package static func encoded(_ text: String) -> String { encoded(text, alsoHides: []) }

    private static func encoded(_ text: String, alsoHides hidden: [UInt8]) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            if (0x21..<0x7F).contains(byte), byte != UInt8(ascii: "+"), byte != UInt8(ascii: "="), !hidden.contains(byte) {
                out.append(byte)
            } else {
                out += [UInt8(ascii: "+"), digit(byte >> 4), digit(byte & 15)]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The xtext form, as one word of a command for all who read it. A quote or a bracket without its other half, or a backslash at the end,
    /// would take the next word in, for servers such as smtpd(8) that read quotes everywhere: `ORCPT=rfc822;a" NOTIFY=NEVER`.
    package static func word(_ text: String) -> String {
        let plain = encoded(text)
        return isOneWord(plain) ? plain : encoded(text, alsoHides: gluing)
    }

    /// As ``word(_:)``, of ``encodedUnitext(_:)``.
    package static func unitextWord(_ text: String) -> String {
        let plain = encodedUnitext(text)
        return isOneWord(plain)
            ? plain
            : plain.utf8.reduce(into: "") { out, byte in
                let isEscape = byte == UInt8(ascii: "\\")
                out += gluing.contains(byte) && !isEscape ? "\\x{\(String(byte, radix: 16, uppercase: true))}" : String(UnicodeScalar(byte))
            }
    }

    private static let gluing = Array("\"<>\\".utf8)

    private static func isOneWord(_ text: String) -> Bool {
        guard text.utf8.contains(where: { gluing.contains($0) }) else { return true }
        let line = CommandLine("\(text) .")
        return line.count == 2 && line.tokens[1].range.count == 1 && !line.tokens[0].isUnbalanced
    }

    /// Decodes unitext as leniently as smtpd(8): `\x{HEX}` stands for a character, all else for itself. nil where the braces hold no
    /// number, or one beyond Unicode.
    package static func decodedUnitext(_ text: some Collection<UInt8>) -> String? {
        guard var rest = String(validating: text, as: UTF8.self)?.unicodeScalars[...] else { return nil }
        var out = String.UnicodeScalarView()
        while let scalar = rest.popFirst() {
            guard scalar == "\\", rest.starts(with: "x{".unicodeScalars) else {
                out.append(scalar)
                continue
            }
            rest = rest.dropFirst(2)
            guard let end = rest.firstIndex(of: "}") else { return nil }
            let digits = String(rest[..<end])
            rest = rest[rest.index(after: end)...]
            guard digits.utf8.count <= 6, digits.utf8.allSatisfy({ hexDigit($0) != nil }) else { return nil }
            let value = UInt32(digits, radix: 16) ?? 0
            guard value <= 0x10FFFF else { return nil }
            out.append(Unicode.Scalar(value) ?? "?")
        }
        return String(out)
    }

    /// utf-8-addr-xtext of RFC 6533: pure ASCII, so that it fits next hops with and without SMTPUTF8.
    package static func encodedUnitext(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\", "+", "=": out += "\\x{\(String(scalar.value, radix: 16, uppercase: true))}"
            case "!"..."~": out.unicodeScalars.append(scalar)
            default:
                let hex = String(scalar.value, radix: 16, uppercase: true)
                out += "\\x{\(hex.utf8.count == 1 ? "0" : "")\(hex)}"
            }
        }
        return out
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - 0x30
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - 0x37
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - 0x57
        default: nil
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }
}
