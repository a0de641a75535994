/// Which protocol versions a parameter such as `smtpd_tls_protocols` allows.
///
/// Two syntaxes, which may be mixed: bounds (`>=TLSv1.2`, `<=0x0304`) and a list of versions to include or exclude (`TLSv1.2 TLSv1.3`,
/// `!SSLv2, !SSLv3`). Names are not case-sensitive; elements are separated by white space, commas or colons. Empty: all versions.
struct TLSProtocolRange: Sendable, Hashable {
    enum Version: Int, CaseIterable, Sendable {
        case sslv3 = 0x0300
        case tlsv1 = 0x0301
        case tlsv11 = 0x0302
        case tlsv12 = 0x0303
        case tlsv13 = 0x0304

        init?(name: some StringProtocol) {
            switch name.lowercased() {
            case "sslv3": self = .sslv3
            case "tlsv1": self = .tlsv1
            case "tlsv1.1": self = .tlsv11
            case "tlsv1.2": self = .tlsv12
            case "tlsv1.3": self = .tlsv13
            default: return nil
            }
        }
    }

    /// Wire version numbers; 0 for no bound. A bound may be a version this library does not know by name.
    var minimum = 0
    var maximum = 0
    var excluded: Set<Version> = []

    struct Invalid: Error, Hashable { let element: String }

    init(_ text: String) throws(Invalid) {
        var included: Set<Version> = []
        for element in text.split(whereSeparator: { $0.isWhitespace || $0 == "," || $0 == ":" }) {
            if element.hasPrefix(">=") {
                minimum = try Self.bound(element)
            } else if element.hasPrefix("<=") {
                maximum = try Self.bound(element)
            } else {
                let isExclusion = element.first == "!"
                let name = isExclusion ? element.dropFirst() : element
                // SSLv2 is gone from the library: excluding it is already done, including it adds nothing.
                if name.lowercased() == "sslv2" { continue }
                guard let version = Version(name: name) else { throw Invalid(element: String(element)) }
                if isExclusion { excluded.insert(version) } else { included.insert(version) }
            }
        }
        if !included.isEmpty { excluded.formUnion(Set(Version.allCases).subtracting(included)) }
    }

    /// The versions that remain. SSLv3 is not counted: distributions build the library without it.
    var allowed: [Version] {
        Version.allCases.filter {
            $0 != .sslv3 && !excluded.contains($0) && $0.rawValue >= minimum && (maximum == 0 || $0.rawValue <= maximum)
        }
    }

    private static func bound(_ element: Substring) throws(Invalid) -> Int {
        let name = element.dropFirst(2)
        if let version = Version(name: name) { return version.rawValue }
        let lowered = name.lowercased()
        let digits = lowered.hasPrefix("0x") ? lowered.dropFirst(2) : lowered[...]
        guard digits.utf8.count <= 8, let number = Int(digits, radix: 16), number > 0, digits.first != "+" else {
            throw Invalid(element: String(element))
        }
        return number
    }
}
