package import SMTPCore
package import Tables

/// The keys under which tables of addresses are asked for a recipient or sender.
package struct AddressLookup: Sendable {
    /// The characters of `recipient_delimiter`.
    /// Scalars, so that a combining mark behind one does not hide it.
    let delimiters: Set<Unicode.Scalar>

    /// `owner-list-x` and `list-request` are not taken apart at a `-` (`owner_request_special`).
    let ownerRequestSpecial: Bool

    package init(recipientDelimiter: String, ownerRequestSpecial: Bool = true) {
        delimiters = Set(recipientDelimiter.unicodeScalars)
        self.ownerRequestSpecial = ownerRequestSpecial
    }

    /// `user+extension` without its extension; nil if it has none. Addresses of the mail system itself are never split.
    package func withoutExtension(_ localPart: String) -> String? {
        if delimiters.isEmpty || ["postmaster", "mailer-daemon", "double-bounce"].contains(DomainName.folded(localPart)) { return nil }
        let scalars = localPart.unicodeScalars
        guard let index = scalars.firstIndex(where: { delimiters.contains($0) }), index > scalars.startIndex else { return nil }
        if ownerRequestSpecial, scalars[index] == "-", (localPart.hasPrefix("owner-") || localPart.hasSuffix("-request")) { return nil }
        return String(scalars[..<index])
    }

    /// The forms of an address's local part, with and without extension.
    package func localParts(_ localPart: String) -> [String] {
        if let bare = withoutExtension(localPart) { [localPart, bare] } else { [localPart] }
    }

    /// The quoted form of `localPart`, then the unquoted one where they differ: a table may hold either.
    package static func forms(of localPart: String) -> [String] {
        let quoted = Address(localPart: localPart, domain: nil).description
        return quoted == localPart || localPart.isEmpty ? [localPart] : [quoted, localPart]
    }

    /// Asks for `user+ext@domain`, `user@domain`, then, where the domain is ours, `user+ext` and `user`, then `@domain`.
    package func find(_ address: Address, in tables: TableList, isLocal: Bool) async -> LookupResult {
        await findMapping(address, in: tables, isLocal: isLocal).answer
    }

    /// The same, with the extension (delimiter included) that the key found did not have; empty where there is none, and for `@domain`.
    func findMapping(_ address: Address, in tables: TableList, isLocal: Bool) async -> (answer: LookupResult, unmatchedExtension: String) {
        if tables.isEmpty { return (.notFound, "") }
        let parts = localParts(address.localPart)
        let domain = address.domain ?? ""
        var isFirst = true
        for suffix in isLocal ? ["@\(domain)", ""] : ["@\(domain)"] {
            for part in parts {
                for form in Self.forms(of: part) {
                    switch await tables.lookup(form + suffix, partial: !isFirst) {
                    case .notFound: isFirst = false
                    case let answer: return (answer, String(address.localPart.unicodeScalars.dropFirst(part.unicodeScalars.count)))
                    }
                }
            }
        }
        return (await tables.lookup("@\(domain)", partial: true), "")
    }
}
