internal import SMTPCore

/// The record types we ask for or must understand (RFC 1035 section 3.2.2, RFC 3596, RFC 6891).
struct RecordType: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    let rawValue: UInt16

    static let a = RecordType(rawValue: 1)
    static let cname = RecordType(rawValue: 5)
    static let soa = RecordType(rawValue: 6)
    static let ptr = RecordType(rawValue: 12)
    static let mx = RecordType(rawValue: 15)
    static let txt = RecordType(rawValue: 16)
    static let aaaa = RecordType(rawValue: 28)
    static let opt = RecordType(rawValue: 41)

    var description: String {
        switch self {
        case .a: "A"
        case .cname: "CNAME"
        case .soa: "SOA"
        case .ptr: "PTR"
        case .mx: "MX"
        case .txt: "TXT"
        case .aaaa: "AAAA"
        default: "TYPE\(rawValue)"
        }
    }
}

/// RCODE, with the upper bits of EDNS (RFC 6891 section 6.1.3).
struct ResponseCode: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    let rawValue: UInt16

    static let noError = ResponseCode(rawValue: 0)
    static let formatError = ResponseCode(rawValue: 1)
    static let serverFailure = ResponseCode(rawValue: 2)
    static let noSuchDomain = ResponseCode(rawValue: 3)
    static let notImplemented = ResponseCode(rawValue: 4)
    static let refused = ResponseCode(rawValue: 5)
    static let badVersion = ResponseCode(rawValue: 16)

    var description: String {
        switch self {
        case .noError: "NOERROR"
        case .formatError: "FORMERR"
        case .serverFailure: "SERVFAIL"
        case .noSuchDomain: "NXDOMAIN"
        case .notImplemented: "NOTIMP"
        case .refused: "REFUSED"
        case .badVersion: "BADVERS"
        default: "RCODE \(rawValue)"
        }
    }
}

/// A name and the type of record wanted; always class IN.
struct DNSQuestion: Sendable, Hashable, CustomStringConvertible {
    var name: DomainName
    var type: RecordType

    var description: String { "\(name) \(type)" }
}

/// What a record says; only the types we use are taken apart.
enum RecordData: Sendable, Hashable {
    case address(IPAddress)
    /// CNAME or PTR.
    case name(DomainName)
    case mailExchanger(preference: UInt16, host: DomainName)
    /// The character-strings of a TXT record, joined.
    case text([UInt8])
    /// SOA; only the field that bounds negative caching (RFC 2308), in seconds.
    case startOfAuthority(minimum: UInt32)
    case other
}

struct ResourceRecord: Sendable, Hashable {
    var name: DomainName
    var type: RecordType
    /// Seconds. A value with the top bit set counts as zero (RFC 2181 section 8).
    var timeToLive: UInt32
    var data: RecordData
}

/// A response, decoded. Records of other classes than IN are left out.
struct DNSMessage: Sendable, Hashable {
    var id: UInt16
    var isResponse: Bool
    var isAuthoritative = false
    var isTruncated: Bool
    var responseCode: ResponseCode
    var question: DNSQuestion?
    var answers: [ResourceRecord]
    var authorities: [ResourceRecord]
}
