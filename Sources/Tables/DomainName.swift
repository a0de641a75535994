/// How host and domain names are compared and walked in lists and tables. Names are compared in lower case.
package enum DomainName {
    /// In lower case, by Unicode's mapping where there is more than ASCII.
    package static func folded(_ text: some StringProtocol) -> String { folded(String(text)) }

    /// The same for a whole string. It runs for every domain of every recipient, and most are in lower case already: one look at the bytes,
    /// no generic call, no copy.
    package static func folded(_ text: String) -> String {
        let utf8 = text.utf8.span
        for index in utf8.indices where isUpperCase(utf8[index]) || utf8[index] >= 0x80 {
            if text.utf8.contains(where: { $0 >= 0x80 }) { return text.lowercased() }
            return String(decoding: text.utf8.map { isUpperCase($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
        }
        return text
    }

    private static func isUpperCase(_ byte: UInt8) -> Bool { byte &- 0x41 < 26 }

    /// `name`, then its parents: `c.b.a`, `b.a`, `a` when a parent stands for its subdomains, else `c.b.a`, `.b.a`, `.a`.
    package static func walk(_ name: String, subdomains: Bool) -> [String] {
        var keys = [name]
        var rest = name[...]
        while let dot = rest.dropFirst().utf8.firstIndex(of: UInt8(ascii: ".")) {
            let parent = name[name.utf8.index(after: dot)...]
            if parent.isEmpty { break }
            keys.append(String(subdomains ? parent : name[dot...]))
            rest = parent
        }
        return keys
    }

    /// Both in lower case. A pattern with a leading dot matches subdomains where a bare one does not (`parent_domain_matches_subdomains`).
    package static func matches(_ name: String, pattern: String, subdomains: Bool) -> Bool {
        if name == pattern { return true }
        guard name.utf8.count > pattern.utf8.count, name.utf8.suffix(pattern.utf8.count).elementsEqual(pattern.utf8) else { return false }
        return subdomains
            ? name.utf8.dropLast(pattern.utf8.count).last == UInt8(ascii: ".")
            : pattern.utf8.first == UInt8(ascii: ".")
    }

    /// Asks `table` for the name and, unless it takes whole keys only, its parents.
    static func lookup(_ name: String, in table: any LookupTable, subdomains: Bool?) async -> LookupResult {
        if name.isEmpty { return .notFound }
        guard let subdomains, !table.takesWholeKeysOnly else { return await table.lookup(name) }
        for key in walk(name, subdomains: subdomains) {
            switch await table.lookup(key) {
            case .notFound: continue
            case let answer: return answer
            }
        }
        return .notFound
    }
}
