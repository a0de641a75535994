import SMTPCore
import Settings

/// `cidr:`: networks to values (cidr_table(5)). A key that is not an IP address is in no such table.
struct CIDRTable: LookupTable {
    struct Pattern: Sendable {
        var network: IPNetwork
        var isNegated: Bool
    }

    let name: String
    private let rules: PatternRules<Pattern>

    init(_ spec: String, _ body: String, at location: SourceLocation?) throws(ConfigurationError) {
        name = spec
        rules = try PatternRules(spec, body, at: location, parse: Self.parse)
    }

    var watchedFiles: [String] { rules.watchedFiles }
    var takesWholeKeysOnly: Bool { true }

    func lookup(_ key: String) async -> LookupResult {
        guard let address = IPAddress(key) else { return .notFound }
        let found = rules.firstMatch { $0.network.contains(address) != $0.isNegated ? true : nil }
        return if let found { .found(found.value) } else { .notFound }
    }

    private static func parse(_ line: SourceLine, _ text: Substring, _ problems: inout [Diagnostic]) -> (pattern: Pattern, rest: Substring)?
    {
        var text = text
        let isNegated = text.first == "!"
        if isNegated { text = text.dropFirst().drop { $0 == " " || $0 == "\t" } }
        let word = text.prefix { $0 != " " && $0 != "\t" }
        guard let network = IPNetwork(word) else {
            problems.append(
                Diagnostic(.error, NetworkList.problem(ofNetwork: String(word)) ?? "bad net/mask pattern: \"\(word)\"", at: line.location)
            )
            return nil
        }
        return (Pattern(network: network, isNegated: isNegated), text[word.endIndex...])
    }
}
