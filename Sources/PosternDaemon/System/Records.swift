/// Records of fields as text: a line each, with tabs between the fields, and a last line that says that nothing is missing.
enum Records {
    /// Control characters become blanks: what a role or a file has said cannot make a record of its own.
    static func text(of records: [[String]]) -> String {
        (records + [["end"]]).map { fields in fields.map(clean).joined(separator: "\t") + "\n" }.joined()
    }

    /// nil unless the text is whole.
    static func parse(_ text: String) -> [[String]]? {
        let records = text.split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
        return records.last == ["end"] && text.hasSuffix("\n") ? records.dropLast() : nil
    }

    private static func clean(_ field: String) -> String {
        guard field.utf8.contains(where: { $0 < 32 || $0 == 127 }) else { return field }
        return String(String.UnicodeScalarView(field.unicodeScalars.map { $0.value < 32 || $0.value == 127 ? " " : $0 }))
    }
}
