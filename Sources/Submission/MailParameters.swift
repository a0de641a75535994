import SMTPCore

/// The parameters of MAIL: SIZE (RFC 1870), BODY (RFC 6152), AUTH (RFC 4954), SMTPUTF8 (RFC 6531), RET and ENVID (RFC 3461),
/// and Postfix's XVERP.
struct MailParameters {
    /// `smtputf8_enable`.
    let takesUTF8: Bool
    /// DSN is not hidden from the client.
    let takesDSN: Bool
    /// nil when the client may not use XVERP.
    let verpSyntax: VERPSyntax?
    private(set) var verpDelimiters: VERPDelimiters?
    private(set) var size: Int?
    private(set) var body = BodyType.unspecified
    private(set) var isUTF8 = false
    private(set) var returns = ReturnedContent.unspecified
    private(set) var envelopeID = ""
    /// AUTH= as it was written; nil without.
    private var identity: String?
    var declaredIdentity: String { identity ?? "" }

    init(takesUTF8: Bool, takesDSN: Bool, verpSyntax: VERPSyntax? = nil) {
        self.verpSyntax = verpSyntax
        self.takesUTF8 = takesUTF8
        self.takesDSN = takesDSN
    }

    /// Takes one `NAME=value`; gives the refusal when it is not understood.
    mutating func read(_ parameter: ArraySlice<UInt8>) -> Reply? {
        let equals = parameter.firstIndex(of: UInt8(ascii: "="))
        let name = String(decoding: parameter[..<(equals ?? parameter.endIndex)].map(\.asciiUppercased), as: UTF8.self)
        let value = equals.map { parameter[($0 + 1)...] } ?? []
        switch (name, equals != nil) {
        case ("SIZE", true): return readSize(value)
        case ("BODY", true):
            switch String(decoding: value.map(\.asciiUppercased), as: UTF8.self) {
            case "8BITMIME": body = .eightBitMIME
            case "7BIT": body = .sevenBit
            default: return Self.unsupported(parameter)
            }
            return nil
        case ("AUTH", true):
            // The identity is not passed on: no trusted peer asserts one here (RFC 4954 section 5 lets us treat it as AUTH=<>).
            if identity != nil { return Reply(503, .init(5, 5, 4), "Error: multiple AUTH= options") }
            if value.elementsEqual("<>".utf8) { return nil }
            identity = Session.printable(value)
            return nil
        case ("SMTPUTF8", false) where takesUTF8:
            isUTF8 = true
            return nil
        case ("XVERP", _):
            guard let verpSyntax else { return Self.unsupported(parameter) }
            guard let delimiters = verpSyntax.delimiters(equals == nil ? nil : value) else { return verpSyntax.refusal }
            verpDelimiters = delimiters
            return nil
        case ("RET", true), ("ENVID", true):
            guard takesDSN else { return Self.dsnDisabled }
            return name == "RET" ? readReturn(value) : readEnvelopeID(value)
        default: return Self.unsupported(parameter)
        }
    }

    private mutating func readReturn(_ value: ArraySlice<UInt8>) -> Reply? {
        guard returns == .unspecified, let value = ReturnedContent(parsing: value) else {
            return Reply(501, .init(5, 5, 4), "Bad RET parameter syntax")
        }
        returns = value
        return nil
    }

    private mutating func readEnvelopeID(_ value: ArraySlice<UInt8>) -> Reply? {
        guard envelopeID.isEmpty, let decoded = EnvelopeIdentifier.decoded(value) else {
            return Reply(501, .init(5, 5, 4), "Bad ENVID parameter syntax")
        }
        envelopeID = decoded
        return nil
    }

    static let dsnDisabled = Reply(501, .init(5, 7, 1), "DSN support is disabled")

    private mutating func readSize(_ value: ArraySlice<UInt8>) -> Reply? {
        guard value.allSatisfy(\.isASCIIDigit) else { return Reply(501, .init(5, 5, 4), "Bad message size syntax") }
        guard let size = Int(String(decoding: value, as: UTF8.self)) else {
            return value.isEmpty
                ? Reply(501, .init(5, 5, 4), "Bad message size syntax")
                : Reply(552, .init(5, 3, 4), "Message size exceeds file system imposed limit")
        }
        self.size = size
        return nil
    }

    static func unsupported(_ parameter: ArraySlice<UInt8>) -> Reply {
        Reply(555, .init(5, 5, 4), "Unsupported option: \(Session.shown(parameter))")
    }
}
