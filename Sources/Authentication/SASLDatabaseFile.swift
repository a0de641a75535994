/// A sasldb2 as the Berkeley DB hash file it is on Debian, read for its account names only: libsasl2 has no call that lists them, and the
/// program that does is in another package.
package enum SASLDatabaseFile {
    package struct Account: Sendable, Hashable, Comparable {
        package var name: String
        package var realm: String

        package init(name: String, realm: String) {
            self.name = name
            self.realm = realm
        }

        package static func < (a: Self, b: Self) -> Bool { (a.realm, a.name) < (b.realm, b.name) }
    }

    /// The accounts with a password in the file at `path`, sorted. Throws when the file cannot be read or has another format.
    package static func accounts(path: String) throws(SASLConfigurationError) -> [Account] {
        guard let bytes = readFile(path, limit: 256 << 20) else {
            throw SASLConfigurationError("unable to open sasldb \(path): \(systemErrorText())")
        }
        guard let accounts = accounts(in: bytes) else {
            throw SASLConfigurationError("\(path) is not a Berkeley DB hash file of this machine; try: sasldblistusers2 -f \(path)")
        }
        return accounts
    }

    /// nil when `bytes` are not such a file. Values (the passwords) are skipped.
    static func accounts(in bytes: [UInt8]) -> [Account]? {
        func word(_ offset: Int) -> Int { (0..<4).reduce(0) { $0 | Int(bytes[offset + $1]) << ($1 * 8) } }
        func half(_ offset: Int) -> Int { Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 }
        // The first page: magic number at 12, page size at 20.
        guard bytes.count >= 512, word(12) == 0x061561 else { return nil }
        let pageSize = word(20)
        guard (512...65_536).contains(pageSize), pageSize & (pageSize - 1) == 0 else { return nil }
        var found: Set<Account> = []
        for page in stride(from: pageSize, through: bytes.count - pageSize, by: pageSize) {
            // Header of 26 bytes: number of items at 20, type at 25 (2 and 13: hash pages); then the items' offsets, growing downwards.
            guard bytes[page + 25] == 2 || bytes[page + 25] == 13 else { continue }
            let count = half(page + 20)
            guard 26 + 2 * count <= pageSize else { return nil }
            var end = pageSize
            for item in 0..<count {
                let start = half(page + 26 + 2 * item)
                guard start >= 26, start < end else { return nil }
                // Even items are keys; type 1 is data on the page itself.
                if item % 2 == 0, bytes[page + start] == 1, let account = account(key: bytes[(page + start + 1)..<(page + end)]) {
                    found.insert(account)
                }
                end = start
            }
        }
        return found.sorted()
    }

    /// A key is `name NUL realm NUL property`.
    private static func account(key: ArraySlice<UInt8>) -> Account? {
        let parts = key.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
        guard parts.count == 3, parts[2] == "userPassword" else { return nil }
        return Account(name: parts[0], realm: parts[1])
    }
}
