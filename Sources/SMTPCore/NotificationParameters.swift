extension NotifyConditions {
    /// The first item of a NOTIFY value that is no condition, for the log.
    package static func unknownItem(in value: some Collection<UInt8>) -> [UInt8]? {
        for item in value.split(separator: UInt8(ascii: ",")) where condition(item) == nil { return Array(item) }
        return nil
    }

    private static func condition(_ item: some Collection<UInt8>) -> NotifyConditions? {
        switch String(decoding: item.map(\.asciiUppercased), as: UTF8.self) {
        case "NEVER": .never
        case "SUCCESS": .success
        case "FAILURE": .failure
        case "DELAY": .delay
        default: nil
        }
    }

    /// The value of NOTIFY (RFC 3461 section 4.1), in any case; empty items are overlooked, as smtpd(8) does. nil when it is malformed.
    package init?(parsing value: some Collection<UInt8>) {
        self.init()
        for item in value.split(separator: UInt8(ascii: ",")) {
            guard let condition = Self.condition(item) else { return nil }
            insert(condition)
        }
        if isEmpty || !isValid { return nil }
    }

    /// As the next hop gets it.
    package var parameter: String {
        let names: [(NotifyConditions, String)] = [(.never, "NEVER"), (.success, "SUCCESS"), (.failure, "FAILURE"), (.delay, "DELAY")]
        return names.filter { contains($0.0) }.map(\.1).joined(separator: ",")
    }
}

extension ReturnedContent {
    /// The value of RET (RFC 3461 section 4.3), in any case.
    package init?(parsing value: some Collection<UInt8>) {
        switch String(decoding: value.map(\.asciiUppercased), as: UTF8.self) {
        case "FULL": self = .full
        case "HDRS": self = .headers
        default: return nil
        }
    }

    /// As the next hop gets it; nil when nothing was asked for.
    package var parameter: String? {
        switch self {
        case .unspecified: nil
        case .full: "FULL"
        case .headers: "HDRS"
        }
    }
}

/// The value of ENVID (RFC 3461 section 4.4).
package enum EnvelopeIdentifier {
    /// Decoded: printable ASCII only, as it goes into reports as it is. nil when it is malformed.
    package static func decoded(_ value: some Collection<UInt8>) -> String? {
        guard let bytes = XText.decoded(value), !bytes.isEmpty, bytes.allSatisfy({ (0x20..<0x7F).contains($0) }) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// The value of ORCPT (RFC 3461 section 4.2; RFC 6533 section 3 for the type utf-8), `type;address`.
package enum OriginalRecipient {
    /// Decoded. Control characters, which would break a report's lines, become `?`, and so does what is no atom's in the type, which
    /// travels as it is. nil when it is malformed.
    package static func decoded(_ value: some Collection<UInt8>) -> String? {
        guard let semicolon = value.firstIndex(of: UInt8(ascii: ";")), semicolon != value.startIndex else { return nil }
        let type = String(decoding: value[..<semicolon], as: UTF8.self)
        let text = value[value.index(after: semicolon)...]
        guard let address = isUTF8(type) ? XText.decodedUnitext(text) : XText.decoded(text).map({ String(decoding: $0, as: UTF8.self) })
        else { return nil }
        return "\(atom(type));\(harmless(address))"
    }

    private static func atom(_ text: String) -> String {
        String(
            decoding: text.utf8.map { $0 < 0x80 && (Address.isAtomText($0) || $0 == UInt8(ascii: ".")) ? $0 : UInt8(ascii: "?") },
            as: UTF8.self
        )
    }

    /// The parameter's value for a next hop: ASCII, and one word.
    package static func encoded(_ decoded: String) -> String {
        // Bytes, not characters: a combining mark behind the semicolon would make it another character.
        let parts = decoded.utf8.split(separator: UInt8(ascii: ";"), maxSplits: 1, omittingEmptySubsequences: false)
        let (type, address) = (
            atom(String(decoding: parts[0], as: UTF8.self)), String(decoding: parts.dropFirst().first ?? "".utf8[...], as: UTF8.self)
        )
        return isUTF8(type) ? "\(type);\(XText.unitextWord(address))" : "\(type);\(XText.word(address))"
    }

    /// What a recipient without ORCPT gets: its address as the client gave it.
    package static func synthesized(_ address: Address) -> String { "rfc822;\(harmless(address.description))" }

    /// The same where the client's way of writing the address would be lost: `"a"@b`, a route, a comment. Empty where nothing is.
    package static func asWritten(_ path: ArraySlice<UInt8>, _ address: Address) -> String {
        let text = PathParser.withoutBrackets(path)
        return text.elementsEqual(address.description.utf8) ? "" : "rfc822;\(harmless(String(decoding: text, as: UTF8.self)))"
    }

    private static func isUTF8(_ type: String) -> Bool { type.lowercased() == "utf-8" }

    private static func harmless(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 }))
    }
}
