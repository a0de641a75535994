import SMTPCore
import Settings
import Tables

/// `default_verp_delimiters` and `verp_delimiter_filter`: what MAIL takes behind `XVERP`.
struct VERPSyntax: Sendable {
    private let filter: [UInt8]
    private let standard: VERPDelimiters

    init(_ settings: ServiceSettings) throws(ConfigurationError) {
        let name = "default_verp_delimiters"
        filter = Array(settings.text("verp_delimiter_filter").utf8)
        let text = Array(settings.text(name).utf8)
        guard let delimiters = Self.delimiters(text[...], filter) else {
            throw ConfigurationError("\(name): two characters of verp_delimiter_filter are needed", at: settings.cause(of: name))
        }
        standard = delimiters
    }

    /// - Parameter value: what stands behind `XVERP=`; nil for `XVERP` alone.
    func delimiters(_ value: ArraySlice<UInt8>?) -> VERPDelimiters? { value.map { Self.delimiters($0, filter) } ?? standard }

    private static func delimiters(_ value: ArraySlice<UInt8>, _ filter: [UInt8]) -> VERPDelimiters? {
        guard value.count == 2, let outer = value.first, let inner = value.last else { return nil }
        // Whatever the filter says: these end an address, or would have to be quoted.
        guard [outer, inner].allSatisfy({ filter.contains($0) && Address.isAtomText($0) && $0 < 0x80 }) else { return nil }
        return VERPDelimiters(outer: outer, inner: inner)
    }

    var refusal: Reply {
        Reply(501, .init(5, 5, 4), "Error: XVERP needs two characters from \(String(decoding: filter, as: UTF8.self))")
    }

    static let needsSender = Reply(503, .init(5, 5, 4), "Error: XVERP requires non-null sender")
}
