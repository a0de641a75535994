import Resolver
package import SMTPCore

/// The attributes of an XCLIENT or XFORWARD command: what a trusted proxy or content filter says about the client behind it.
package struct ClientAttributes: Sendable, Hashable {
    package enum Verb: String, Sendable {
        case xclient = "XCLIENT"
        case xforward = "XFORWARD"

        var names: [String] {
            switch self {
            case .xclient: ["NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME", "PORT", "LOGIN", "DESTADDR", "DESTPORT"]
            case .xforward: ["NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT"]
            }
        }

        /// The EHLO line.
        var capability: String { "\(rawValue) \(names.joined(separator: " "))" }
    }

    /// A value, or the fact that there is none.
    package enum Value<Known: Sendable & Hashable>: Sendable, Hashable {
        case known(Known)
        /// `[UNAVAILABLE]`.
        case unavailable
        /// `[TEMPUNAVAIL]`.
        case temporarilyUnavailable

        package var value: Known? { if case .known(let value) = self { value } else { nil } }
    }

    package var name: Value<String>?
    package var reverseName: Value<String>?
    package var address: Value<IPAddress>?
    package var port: Value<Int>?
    package var helo: Value<String>?
    /// `SMTP` or `ESMTP`.
    package var protocolName: Value<String>?
    package var login: Value<String>?
    package var serverAddress: Value<IPAddress>?
    package var serverPort: Value<Int>?
    package var ident: Value<String>?
    package var isLocalSource: Bool?

    package init() {}

    private static let longestValue = 255

    package enum Parsing: Sendable {
        case complete(ClientAttributes)
        case refused(Reply)
    }

    /// Reads `NAME=value` words; all of them, or the refusal of the first that is not understood.
    package static func parse(_ verb: Verb, _ words: [ArraySlice<UInt8>], acceptsIPv4: Bool = true, acceptsIPv6: Bool = true) -> Parsing {
        guard !words.isEmpty else { return refused("Syntax: \(verb.rawValue) attribute=value...") }
        var attributes = ClientAttributes()
        for word in words {
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals > word.startIndex, equals + 1 < word.endIndex else {
                return refused("Error: attribute=value expected")
            }
            let raw = word[(equals + 1)...]
            guard raw.count <= longestValue else { return refused("Error: attribute value too long") }
            let given = Session.printable(word[..<equals])
            let name = given.uppercased()
            guard verb.names.contains(name) else { return refused("Bad \(verb.rawValue) attribute name: \(given)") }
            let text = unquoted(raw)
            guard let text, attributes.take(verb, name, text, acceptsIPv4: acceptsIPv4, acceptsIPv6: acceptsIPv6) else {
                return refused("Bad \(name) syntax: \(Session.printable(text.map { Array($0.utf8) } ?? Array(raw)))")
            }
        }
        return .complete(attributes)
    }

    private static func refused(_ text: String) -> Parsing { .refused(Reply(501, .init(5, 5, 4), text)) }

    /// xtext (RFC 3461 section 4): `+HH` stands for a byte. nil for anything else after a plus, and for bytes that are not UTF-8.
    private static func unquoted(_ raw: ArraySlice<UInt8>) -> String? {
        var bytes: [UInt8] = []
        var rest = raw
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "+") else {
                bytes.append(byte)
                continue
            }
            let digits = rest.prefix(2)
            guard digits.count == 2, digits.allSatisfy(\.isHexDigit), let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 16)
            else { return nil }
            rest = rest.dropFirst(2)
            bytes.append(value)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private mutating func take(_ verb: Verb, _ name: String, _ text: String, acceptsIPv4: Bool, acceptsIPv6: Bool) -> Bool {
        func value<Known>(_ parse: (String) -> Known?) -> Value<Known>? {
            switch text.uppercased() {
            case "[UNAVAILABLE]": return .unavailable
            case "[TEMPUNAVAIL]": return .temporarilyUnavailable
            default: return parse(text).map { .known($0) }
            }
        }
        func address(_ text: String) -> IPAddress? {
            let isTagged = text.uppercased().hasPrefix("IPV6:")
            guard let address = IPAddress(isTagged ? text.dropFirst(5) : text[...])?.unmapped else { return nil }
            return (address.bitWidth == 32 ? acceptsIPv4 : acceptsIPv6) ? address : nil
        }
        func hostname(_ text: String) -> String? { HostnameSyntax.isValid(text) ? text : nil }
        switch name {
        case "NAME":
            self.name = value(hostname)
            return self.name != nil
        case "REVERSE_NAME":
            reverseName = value(hostname)
            return reverseName != nil
        case "ADDR":
            self.address = value(address)
            return self.address != nil
        case "DESTADDR":
            serverAddress = value(address)
            return serverAddress != nil
        case "PORT":
            port = value { ProxyHeader.port($0) }
            return port != nil
        case "DESTPORT":
            serverPort = value { ProxyHeader.port($0) }
            return serverPort != nil
        case "PROTO":
            protocolName = value { Self.protocolName($0, verb) }
            return protocolName != nil
        default: return takeText(name, text, value { $0 })
        }
    }

    private mutating func takeText(_ name: String, _ text: String, _ value: Value<String>?) -> Bool {
        switch name {
        case "HELO": helo = value.map(Self.harmless)
        case "LOGIN": login = value.map(Self.printable)
        case "IDENT": ident = value.map(Self.harmless)
        case "SOURCE":
            guard ["LOCAL", "REMOTE", "[UNAVAILABLE]"].contains(text.uppercased()) else { return false }
            isLocalSource = text.uppercased() == "LOCAL"
        default: return false
        }
        return true
    }

    /// A content filter may forward what it got by LMTP, or by any other protocol that has a name.
    private static func protocolName(_ text: String, _ verb: Verb) -> String? {
        let name = text.uppercased()
        if verb == .xclient { return ["SMTP", "ESMTP"].contains(name) ? name : nil }
        return name.utf8.count <= 64 ? harmlessText(name) : nil
    }

    private static func harmless(_ value: Value<String>) -> Value<String> { value.mapText(harmlessText) }
    private static func printable(_ value: Value<String>) -> Value<String> { value.mapText { Session.printable($0.utf8) } }
    private static func harmlessText(_ text: String) -> String { Session.harmless(Session.printable(text.utf8)) }
}

extension ClientAttributes.Value<String> {
    fileprivate func mapText(_ transform: (String) -> String) -> Self {
        if case .known(let text) = self { .known(transform(text)) } else { self }
    }
}

extension UInt8 {
    fileprivate var isHexDigit: Bool { isASCIIDigit || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self | 0x20) }
}
