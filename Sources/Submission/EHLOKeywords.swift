import Settings
import Tables

/// Keywords of EHLO that are hidden from a client.
struct EHLOKeywords: OptionSet, Sendable {
    let rawValue: UInt16

    static let eightBitMIME = Self(rawValue: 1 << 0)
    static let auth = Self(rawValue: 1 << 1)
    static let etrn = Self(rawValue: 1 << 2)
    static let pipelining = Self(rawValue: 1 << 3)
    static let size = Self(rawValue: 1 << 4)
    static let verp = Self(rawValue: 1 << 5)
    static let vrfy = Self(rawValue: 1 << 6)
    static let xclient = Self(rawValue: 1 << 7)
    static let xforward = Self(rawValue: 1 << 8)
    static let startTLS = Self(rawValue: 1 << 9)
    static let enhancedStatusCodes = Self(rawValue: 1 << 10)
    static let dsn = Self(rawValue: 1 << 11)
    static let smtpUTF8 = Self(rawValue: 1 << 12)
    static let chunking = Self(rawValue: 1 << 13)
    /// Not a keyword: nothing is logged.
    static let silent = Self(rawValue: 1 << 14)

    /// With their names in lists, in the order of the log line.
    private static let names: [(name: String, keyword: Self)] = [
        ("8bitmime", .eightBitMIME), ("auth", .auth), ("etrn", .etrn), ("pipelining", .pipelining), ("size", .size), ("verp", .verp),
        ("vrfy", .vrfy), ("xclient", .xclient), ("xforward", .xforward), ("starttls", .startTLS),
        ("enhancedstatuscodes", .enhancedStatusCodes), ("dsn", .dsn), ("smtputf8", .smtpUTF8), ("chunking", .chunking),
        ("silent-discard", .silent),
    ]

    init(rawValue: UInt16) { self.rawValue = rawValue }

    /// A list as in `smtpd_discard_ehlo_keywords`, in any case. A name that is none is passed over, as Postfix does.
    init(list: String) {
        let words = Set((ListText.items(list) ?? []).map { $0.lowercased() })
        self = Self(Self.names.filter { words.contains($0.name) }.map(\.keyword))
    }

    /// For `discarding EHLO keywords: ...`; nil when Postfix logs nothing, which is also so for every list with `enhancedstatuscodes`.
    var logText: String? {
        guard !isEmpty, isDisjoint(with: [.silent, .enhancedStatusCodes]) else { return nil }
        return Self.names.filter { contains($0.keyword) }.map { $0.keyword == .smtpUTF8 ? "EHLO_MASK_SMTPUTF8" : $0.name.uppercased() }
            .joined(separator: " ")
    }
}

/// `smtpd_discard_ehlo_keywords`, and `smtpd_discard_ehlo_keyword_address_maps`, whose answer for an address takes its place.
struct DiscardedKeywordsPolicy: Sendable {
    /// For those whose address is in no map.
    let keywords: EHLOKeywords
    private let maps: TableList

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        keywords = EHLOKeywords(list: settings.text("smtpd_discard_ehlo_keywords"))
        let name = "smtpd_discard_ehlo_keyword_address_maps"
        maps = try tables.list(settings.list(name), at: settings.location(of: name))
    }

    enum Answer {
        case keywords(EHLOKeywords)
        /// The maps cannot be asked, and why.
        case failed(String)
    }

    func keywords(of address: String) async -> Answer {
        if maps.isEmpty { return .keywords(keywords) }
        return switch await maps.lookup(address) {
        case .found(let list): .keywords(EHLOKeywords(list: list))
        case .notFound: .keywords(keywords)
        case .failed(let reason): .failed(reason)
        }
    }
}
