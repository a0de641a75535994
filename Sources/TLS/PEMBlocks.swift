/// The PEM blocks of a file (RFC 7468), still encoded: one block is what the library's readers take.
struct PEMBlock: Sendable, Hashable {
    /// `CERTIFICATE`, `PRIVATE KEY`, ...
    let label: String
    /// From the first character of the BEGIN line to the end of the END line.
    let bytes: [UInt8]

    var isCertificate: Bool { label == "CERTIFICATE" || label == "X509 CERTIFICATE" || label == "TRUSTED CERTIFICATE" }
    var isPrivateKey: Bool { label == "PRIVATE KEY" || label.hasSuffix(" PRIVATE KEY") }
    /// A passphrase is needed to read it (PKCS #8's own label, or the header of RFC 1421).
    var isEncrypted: Bool {
        label == "ENCRYPTED PRIVATE KEY" || (isPrivateKey && String(decoding: bytes, as: UTF8.self).contains("Proc-Type: 4,ENCRYPTED"))
    }

    /// All blocks in the order of the file; what stands between them is ignored. nil if a block has no end.
    static func parse(_ file: [UInt8]) -> [PEMBlock]? {
        var blocks: [PEMBlock] = []
        var open: (label: String, start: Int)?
        var lineStart = file.startIndex
        while lineStart < file.endIndex {
            let newline = file[lineStart...].firstIndex(of: 0x0A) ?? file.endIndex
            let next = newline < file.endIndex ? newline + 1 : newline
            // Only lines of dashes can matter; do not decode the others.
            if file[lineStart] == UInt8(ascii: "-") {
                let line = String(decoding: file[lineStart..<newline], as: UTF8.self)
                if let label = Self.label(line, "BEGIN"), open == nil {
                    open = (label, lineStart)
                } else if let label = Self.label(line, "END"), let begun = open, begun.label == label {
                    blocks.append(PEMBlock(label: label, bytes: Array(file[begun.start..<next])))
                    open = nil
                }
            }
            lineStart = next
        }
        return open == nil ? blocks : nil
    }

    private static func label(_ line: String, _ keyword: String) -> String? {
        var line = line[...]
        while let last = line.last, last.isWhitespace { line.removeLast() }
        guard line.hasPrefix("-----\(keyword) "), line.hasSuffix("-----"), line.utf8.count >= keyword.utf8.count + 11 else { return nil }
        return String(line.dropFirst(keyword.utf8.count + 6).dropLast(5))
    }
}
