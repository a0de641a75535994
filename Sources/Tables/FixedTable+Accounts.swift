import Settings

extension FixedTable {
    /// `unix:passwd.byname` and `unix:group.byname`, as a snapshot of `/etc/passwd` and `/etc/group` taken when the table is opened.
    ///
    /// Name services behind nsswitch (LDAP, sssd) are not asked: their look-ups block, and a loop must not.
    static func accounts(_ spec: String, _ map: String, at location: SourceLocation?) throws(ConfigurationError) -> FixedTable {
        let path: String
        switch map {
        case "passwd.byname": path = "/etc/passwd"
        case "group.byname": path = "/etc/group"
        default: throw ConfigurationError("unknown map \"\(spec)\", expecting unix:passwd.byname or unix:group.byname", at: location)
        }
        var values: [String: String] = [:]
        for line in try FileText.read(path, at: location).split(separator: UInt8(ascii: "\n")) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex, line[line.startIndex] != UInt8(ascii: "#")
            else {
                continue
            }
            let user = KeyFolding.folded(String(decoding: line[..<colon], as: UTF8.self))
            if values[user] == nil { values[user] = String(decoding: line, as: UTF8.self) }
        }
        return FixedTable(name: spec, values: values, watchedFiles: [path])
    }
}
