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
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")), equals + 1 < word.endIndex else {
                return refused("Error: attribute=value expected")
            }
            let raw = word[(equals + 1)...]
            guard raw.count <= longestValue else { return refused("Error: attribute value too long") }
            let given = Session.shown(word[..<equals])
            let name = given.uppercased()
            guard verb.names.contains(name) else { return refused("Bad \(verb.rawValue) attribute name: \(given)") }
            let bytes = XText.decoded(raw) ?? Array(raw)
            let text = String(validating: bytes, as: UTF8.self)
            guard let text, attributes.take(verb, name, text, acceptsIPv4: acceptsIPv4, acceptsIPv6: acceptsIPv6) else {
                let shown = Session.shown(bytes)
                return refused("Bad \(name) syntax: \(verb == .xforward ? Session.harmless(shown) : shown)")
            }
        }
        return .complete(attributes)
    }

    private static func refused(_ text: String) -> Parsing { .refused(Reply(501, .init(5, 5, 4), text)) }

    private mutating func take(_ verb: Verb, _ attribute: String, _ text: String, acceptsIPv4: Bool, acceptsIPv6: Bool) -> Bool {
        func value<Known>(_ parse: (String) -> Known?) -> Value<Known>? {
            text.uppercased() == "[UNAVAILABLE]" ? .unavailable : parse(text).map { .known($0) }
        }
        /// Only a name may be known to exist and yet not to be had for the moment.
        func name(_ text: String) -> Value<String>? {
            verb == .xclient && text.uppercased() == "[TEMPUNAVAIL]"
                ? .temporarilyUnavailable : value { HostnameSyntax.isValid($0) ? $0 : nil }
        }
        func address(_ text: String) -> IPAddress? {
            let isTagged = text.uppercased().hasPrefix("IPV6:")
            guard let address = IPAddress(isTagged ? text.dropFirst(5) : text[...]), isTagged == (address.bitWidth == 128) else {
                return nil
            }
            let plain = address.unmapped
            return (plain.bitWidth == 32 ? acceptsIPv4 : acceptsIPv6) ? plain : nil
        }
        switch attribute {
        case "NAME":
            self.name = name(text)
            return self.name != nil
        case "REVERSE_NAME":
            reverseName = name(text)
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
            // XCLIENT takes no "unavailable" here: the session would have no protocol.
            protocolName = verb == .xclient ? Self.protocolName(text, verb).map { .known($0) } : value { Self.protocolName($0, verb) }
            return protocolName != nil
        default: return takeText(attribute, text, value { $0 })
        }
    }

    private mutating func takeText(_ name: String, _ text: String, _ value: Value<String>?) -> Bool {
        switch name {
        case "HELO": helo = value.map(Self.harmless)
        case "LOGIN": if login?.value == nil { login = value.map(Self.printable) }
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
    private static func printable(_ value: Value<String>) -> Value<String> { value.mapText(Session.printable(login:)) }
    private static func harmlessText(_ text: String) -> String { Session.harmless(text) }
}

extension ClientAttributes.Value<String> {
    fileprivate func mapText(_ transform: (String) -> String) -> Self {
        if case .known(let text) = self { .known(transform(text)) } else { self }
    }
}
