import SMTPCore

/// What a header block says about the part that follows (RFC 2045 sections 5 and 6).
struct MIMEPartHeader {
    enum Kind: Sendable, Hashable {
        case leaf
        case multipart(boundary: [UInt8])
        /// A message inside a message, with a header block of its own.
        case message
    }

    private(set) var kind = Kind.leaf
    /// Declared `8bit` or `binary`.
    private(set) var isEightBit = false
    private let bytes: [UInt8]
    /// Where the Content-Transfer-Encoding header stands, line end included.
    private var encodingRange: Range<Int>?

    /// - Parameter bytes: the header block with the empty line at its end.
    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        var start = 0
        while start < bytes.count {
            let end = Self.endOfField(bytes, from: start)
            read(start..<end)
            start = end
        }
    }

    /// The block with another Content-Transfer-Encoding.
    func header(encodedAs encoding: String) -> [UInt8] {
        guard let range = encodingRange else { return bytes }
        return bytes[..<range.lowerBound] + Array("Content-Transfer-Encoding: \(encoding)\r\n".utf8) + bytes[range.upperBound...]
    }

    /// A field goes on while lines begin with a blank.
    private static func endOfField(_ bytes: [UInt8], from start: Int) -> Int {
        var position = start
        while let lineFeed = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) {
            position = lineFeed + 1
            guard position < bytes.count, bytes[position] == UInt8(ascii: " ") || bytes[position] == UInt8(ascii: "\t") else { return position }
        }
        return bytes.count
    }

    private mutating func read(_ field: Range<Int>) {
        guard let colon = bytes[field].firstIndex(of: UInt8(ascii: ":")) else { return }
        let name = String(decoding: bytes[field.lowerBound..<colon].map(\.asciiLowercased), as: UTF8.self)
        let value = bytes[(colon + 1)..<field.upperBound]
        switch name {
        case "content-transfer-encoding":
            encodingRange = field
            let word = Self.words(value).first ?? ""
            isEightBit = word == "8bit" || word == "binary"
        case "content-type": readType(value)
        default: break
        }
    }

    private mutating func readType(_ value: ArraySlice<UInt8>) {
        let type = Self.words(value.prefix { $0 != UInt8(ascii: ";") }).joined()
        if type.hasPrefix("multipart/"), let boundary = Self.boundary(value) {
            kind = .multipart(boundary: boundary)
        } else if type == "message/rfc822" || type == "message/global" {
            kind = .message
        }
    }

    /// Words between white space and comments, in lower case.
    private static func words(_ value: ArraySlice<UInt8>) -> [String] {
        var depth = 0
        var text: [UInt8] = []
        for byte in value {
            switch byte {
            case UInt8(ascii: "("): depth += 1
            case UInt8(ascii: ")"): depth = max(0, depth - 1)
            default: text.append(depth > 0 || byte.isBlank ? UInt8(ascii: " ") : byte.asciiLowercased)
            }
        }
        return text.split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The parameter `boundary`, unquoted.
    private static func boundary(_ value: ArraySlice<UInt8>) -> [UInt8]? {
        var rest = value
        while let semicolon = rest.firstIndex(of: UInt8(ascii: ";")) {
            rest = rest[(semicolon + 1)...].drop(while: \.isBlank)
            guard let equals = rest.firstIndex(of: UInt8(ascii: "=")) else { return nil }
            let name = String(decoding: rest[..<equals].map(\.asciiLowercased), as: UTF8.self)
            rest = rest[(equals + 1)...].drop(while: \.isBlank)
            let text = parameterValue(&rest)
            if name.utf8.filter({ !$0.isBlank }).elementsEqual("boundary".utf8) { return text.isEmpty ? nil : text }
        }
        return nil
    }

    private static func parameterValue(_ rest: inout ArraySlice<UInt8>) -> [UInt8] {
        guard rest.first == UInt8(ascii: "\"") else {
            let word = rest.prefix { !$0.isBlank && $0 != UInt8(ascii: ";") && $0 != UInt8(ascii: "(") }
            rest = rest[word.endIndex...]
            return Array(word)
        }
        rest = rest.dropFirst()
        var text: [UInt8] = []
        while let byte = rest.popFirst(), byte != UInt8(ascii: "\"") {
            if byte == UInt8(ascii: "\\"), let next = rest.popFirst() { text.append(next) } else { text.append(byte) }
        }
        // A trailing blank cannot be seen on the boundary line.
        while text.last == UInt8(ascii: " ") { text.removeLast() }
        return text
    }
}
