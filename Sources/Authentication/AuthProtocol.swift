/// The Dovecot auth client protocol, version 1.2, as lines: `command TAB parameter TAB ...`, without the final LF.
///
/// Both ends are here, since our workers speak it, too. Names that only our two ends exchange begin with `x-`; the protocol asks
/// everybody to ignore what they do not know.
package enum AuthProtocol {
    package static let majorVersion = 1
    package static let minorVersion = 2
    /// What Dovecot takes; we never send it more.
    package static let maximumDovecotLine = 16_384
    /// What either of our ends takes: a response of `smtpd_sasl_response_limit` with room for the rest.
    package static let maximumLine = 65_536

    /// A field with TAB, CR, LF, NUL and the escape character itself replaced by two characters.
    package static func escape(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 <= 0x01 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }) else { return text }
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x00: out += [0x01, UInt8(ascii: "0")]
            case 0x01: out += [0x01, UInt8(ascii: "1")]
            case 0x09: out += [0x01, UInt8(ascii: "t")]
            case 0x0D: out += [0x01, UInt8(ascii: "r")]
            case 0x0A: out += [0x01, UInt8(ascii: "n")]
            default: out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The inverse. An escape character at the very end is dropped; before any other character it is skipped.
    package static func unescape(_ field: some Collection<UInt8>) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(field.count)
        var escaped = false
        for byte in field {
            if !escaped {
                if byte == 0x01 { escaped = true } else { out.append(byte) }
                continue
            }
            escaped = false
            switch byte {
            case UInt8(ascii: "0"): out.append(0x00)
            case UInt8(ascii: "1"): out.append(0x01)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "r"): out.append(0x0D)
            // The documentation of 2.3 says l, that of 2.4 says n.
            case UInt8(ascii: "n"), UInt8(ascii: "l"): out.append(0x0A)
            default: out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    static func line(_ fields: [String]) -> String { fields.map(escape).joined(separator: "\t") + "\n" }
}

/// The optional parameters of a line: `name` or `name=value`, in order; unknown ones are kept and harmless.
package struct AuthParameters: Sendable, Hashable {
    package struct Item: Sendable, Hashable {
        package var name: String
        package var value: String?
    }

    package var items: [Item]

    package init(_ items: [(String, String?)] = []) { self.items = items.map { Item(name: $0.0, value: $0.1) } }

    /// Parses unescaped fields.
    package init(fields: some Sequence<String>) {
        items = fields.map { field in
            guard let sign = field.firstIndex(of: "=") else { return Item(name: field, value: nil) }
            return Item(name: String(field[..<sign]), value: String(field[field.index(after: sign)...]))
        }
    }

    /// The first value with this name; nil for a flag without value.
    package subscript(_ name: String) -> String? { items.first { $0.name == name }?.value }

    package func contains(_ name: String) -> Bool { items.contains { $0.name == name } }

    /// All values with this name, in order.
    package func all(_ name: String) -> [String] { items.compactMap { $0.name == name ? $0.value : nil } }

    package var fields: [String] { items.map { item in item.value.map { "\(item.name)=\($0)" } ?? item.name } }
}

/// What the server end (Dovecot, our worker) says.
package enum AuthServerMessage: Sendable, Hashable {
    case version(major: Int, minor: Int)
    case mechanism(AuthMechanism)
    case processID(Int)
    case connectionID(Int)
    case cookie(String)
    case done
    case ok(id: UInt32, AuthParameters)
    /// `data` is base64.
    case challenge(id: UInt32, data: String, AuthParameters)
    case fail(id: UInt32, AuthParameters)
    /// A command of a later minor version: to be ignored.
    case unknown(String)

    /// nil for a known command with broken parameters: the peer does not speak this protocol.
    package init?(line: [UInt8]) {
        let fields = line.split(separator: 0x09, omittingEmptySubsequences: false).map(AuthProtocol.unescape)
        let rest = fields.dropFirst()
        func id() -> UInt32? { rest.first.flatMap { UInt32($0) } }
        switch fields.first ?? "" {
        case "VERSION":
            guard rest.count >= 2, let major = Int(fields[1]), let minor = Int(fields[2]) else { return nil }
            self = .version(major: major, minor: minor)
        case "MECH":
            guard let name = rest.first, !name.isEmpty else { return nil }
            let words = Set(rest.dropFirst())
            let flags = AuthMechanism.Flags.words.reduce(into: AuthMechanism.Flags()) { if words.contains($1.word) { $0.insert($1.flag) } }
            self = .mechanism(AuthMechanism(name: name.uppercased(), flags: flags))
        case "SPID": self = .processID(rest.first.flatMap { Int($0) } ?? 0)
        case "CUID": self = .connectionID(rest.first.flatMap { Int($0) } ?? 0)
        case "COOKIE": self = .cookie(rest.first ?? "")
        case "DONE": self = .done
        case "OK":
            guard let id = id() else { return nil }
            self = .ok(id: id, AuthParameters(fields: rest.dropFirst()))
        case "CONT":
            guard let id = id() else { return nil }
            self = .challenge(id: id, data: rest.dropFirst().first ?? "", AuthParameters(fields: rest.dropFirst(2)))
        case "FAIL":
            guard let id = id() else { return nil }
            self = .fail(id: id, AuthParameters(fields: rest.dropFirst()))
        case let name: self = .unknown(name)
        }
    }

    /// The line with its LF.
    package var line: String {
        switch self {
        case .version(let major, let minor): AuthProtocol.line(["VERSION", "\(major)", "\(minor)"])
        case .mechanism(let mechanism):
            AuthProtocol.line(
                ["MECH", mechanism.name] + AuthMechanism.Flags.words.filter { mechanism.flags.contains($0.flag) }.map(\.word)
            )
        case .processID(let pid): AuthProtocol.line(["SPID", "\(pid)"])
        case .connectionID(let id): AuthProtocol.line(["CUID", "\(id)"])
        case .cookie(let cookie): AuthProtocol.line(["COOKIE", cookie])
        case .done: AuthProtocol.line(["DONE"])
        case .ok(let id, let parameters): AuthProtocol.line(["OK", "\(id)"] + parameters.fields)
        case .challenge(let id, let data, let parameters): AuthProtocol.line(["CONT", "\(id)", data] + parameters.fields)
        case .fail(let id, let parameters): AuthProtocol.line(["FAIL", "\(id)"] + parameters.fields)
        case .unknown(let name): AuthProtocol.line([name])
        }
    }
}

/// What the client end (an SMTP server) says. Responses are secrets: see ``SecretBytes``.
package enum AuthClientMessage: Sendable {
    case version(major: Int, minor: Int)
    case processID(Int)
    /// `response` is base64; nil when the client gave no initial response.
    case auth(id: UInt32, mechanism: String, AuthParameters, response: SecretBytes?)
    /// `data` is base64.
    case response(id: UInt32, data: SecretBytes)
    case cancel(id: UInt32)
    case unknown(String)

    /// nil for a known command with broken parameters.
    package init?(line: [UInt8]) {
        let fields = line.split(separator: 0x09, omittingEmptySubsequences: false)
        let name = fields.first.map(AuthProtocol.unescape) ?? ""
        let rest = fields.dropFirst()
        func id() -> UInt32? { rest.first.flatMap { UInt32(AuthProtocol.unescape($0)) } }
        switch name {
        case "VERSION":
            guard rest.count >= 2, let major = Int(AuthProtocol.unescape(fields[1])), let minor = Int(AuthProtocol.unescape(fields[2]))
            else {
                return nil
            }
            self = .version(major: major, minor: minor)
        case "CPID": self = .processID(rest.first.flatMap { Int(AuthProtocol.unescape($0)) } ?? 0)
        case "AUTH":
            guard rest.count >= 2, let id = id() else { return nil }
            // `resp=` is the last parameter, and never becomes a String.
            let prefix = Array("resp=".utf8)
            let response =
                fields.count > 3 ? fields.last.flatMap { $0.starts(with: prefix) ? SecretBytes($0.dropFirst(prefix.count)) : nil } : nil
            let parameters = rest.dropFirst(2).dropLast(response == nil ? 0 : 1).map(AuthProtocol.unescape)
            self = .auth(id: id, mechanism: AuthProtocol.unescape(fields[2]), AuthParameters(fields: parameters), response: response)
        case "CONT":
            guard let id = id() else { return nil }
            self = .response(id: id, data: SecretBytes(rest.dropFirst().first.map { Array($0) } ?? []))
        case "CANCEL":
            guard let id = id() else { return nil }
            self = .cancel(id: id)
        case let other: self = .unknown(other)
        }
    }

    /// The line with its LF.
    package var line: [UInt8] {
        switch self {
        case .version(let major, let minor): Array(AuthProtocol.line(["VERSION", "\(major)", "\(minor)"]).utf8)
        case .processID(let pid): Array(AuthProtocol.line(["CPID", "\(pid)"]).utf8)
        case .auth(let id, let mechanism, let parameters, let response):
            Array(AuthProtocol.line(["AUTH", "\(id)", mechanism] + parameters.fields).utf8.dropLast())
                + (response.map { Array("\tresp=".utf8) + $0.bytes } ?? []) + [0x0A]
        case .response(let id, let data): Array("CONT\t\(id)\t".utf8) + data.bytes + [0x0A]
        case .cancel(let id): Array(AuthProtocol.line(["CANCEL", "\(id)"]).utf8)
        case .unknown(let name): Array(AuthProtocol.line([name]).utf8)
        }
    }
}
