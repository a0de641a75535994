import SMTPCore

/// What a header block says about the part that follows (RFC 2045 sections 5 and 6).
struct MIMEPartHeader {
    enum Kind: Sendable, Hashable {
        case leaf
        /// Parts between boundaries; nil where the header names none.
        case multipart(boundary: [UInt8]?, isDigest: Bool)
        /// A message inside a message, with a header block of its own.
        case message
    }

    private(set) var kind = Kind.leaf
    /// Declared `8bit` or `binary`.
    private(set) var isEightBit = false
    private let bytes: [UInt8]
    /// Where Content-Transfer-Encoding says `8bit` or `binary`, line ends included.
    private var eightBitFields: [Range<Int>] = []

    /// - Parameters:
    ///   - bytes: the header block with the empty line at its end.
    ///   - isInDigest: a part of a multipart/digest is a message unless it says otherwise (RFC 2046 section 5.1.5).
    init(_ bytes: [UInt8], isInDigest: Bool = false) {
        self.bytes = bytes
        kind = isInDigest ? .message : .leaf
        var start = 0
        while start < bytes.count {
            let end = Self.endOfField(bytes, from: start)
            read(start..<end)
            start = end
        }
    }

    /// The block without claims of eight bits; if the part had them, its new Content-Transfer-Encoding stands last, as in Postfix.
    func convertedHeader() -> [UInt8] {
        guard !eightBitFields.isEmpty else { return bytes }
        var out: [UInt8] = []
        var start = 0
        for field in eightBitFields {
            out += bytes[start..<field.lowerBound]
            start = field.upperBound
        }
        let end = bytes.count - lengthOfEmptyLine
        out += bytes[start..<end]
        if isEightBit { out += "Content-Transfer-Encoding: \(kind == .leaf ? "quoted-printable" : "7bit")\r\n".utf8 }
        return out + bytes[end...]
    }

    /// A boundary may end the block without one.
    private var lengthOfEmptyLine: Int {
        let lineEnd = bytes.suffix(2).elementsEqual([0x0D, 0x0A]) ? 2 : 1
        return bytes.count == lineEnd || bytes.dropLast(lineEnd).last == UInt8(ascii: "\n") ? lineEnd : 0
    }

    /// A field goes on while lines begin with a blank.
    private static func endOfField(_ bytes: [UInt8], from start: Int) -> Int {
        var position = start
        while let lineFeed = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) {
            position = lineFeed + 1
            guard position < bytes.count, bytes[position] == UInt8(ascii: " ") || bytes[position] == UInt8(ascii: "\t") else {
                return position
            }
        }
        return bytes.count
    }

    private mutating func read(_ field: Range<Int>) {
        guard let colon = bytes[field].firstIndex(of: UInt8(ascii: ":")) else { return }
        let name = String(decoding: bytes[field.lowerBound..<colon].map(\.asciiLowercased), as: UTF8.self)
        let value = bytes[(colon + 1)..<field.upperBound]
        switch name {
        case "content-transfer-encoding":
            let word = Self.words(value).first ?? ""
            isEightBit = word == "8bit" || word == "binary"
            if isEightBit { eightBitFields.append(field) }
        case "content-type": readType(value)
        default: break
        }
    }

    private mutating func readType(_ value: ArraySlice<UInt8>) {
        let plain = Self.withoutComments(value)
        let words = Self.words(plain.prefix { $0 != UInt8(ascii: ";") })
        let type = words.joined(separator: " ").replacing(" /", with: "/").replacing("/ ", with: "/")
        if type.hasPrefix("multipart/") {
            kind = .multipart(boundary: Self.boundary(plain[...]), isDigest: type == "multipart/digest")
        } else {
            kind = type == "message/rfc822" || type == "message/global" ? .message : .leaf
        }
    }

    /// Words between white space and comments, in lower case.
    private static func words(_ value: ArraySlice<UInt8>) -> [String] {
        withoutComments(value).split { $0.isBlank || $0 == UInt8(ascii: ";") }.map {
            String(decoding: $0.map(\.asciiLowercased), as: UTF8.self)
        }
    }

    /// With a blank for each comment; what is quoted stays.
    private static func withoutComments(_ value: ArraySlice<UInt8>) -> [UInt8] {
        var depth = 0
        var isQuoted = false
        var isEscaped = false
        var out: [UInt8] = []
        for byte in value {
            if isEscaped || byte == UInt8(ascii: "\\") {
                isEscaped.toggle()
            } else if depth == 0, byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted, byte == UInt8(ascii: "(") {
                depth += 1
                out.append(UInt8(ascii: " "))
            } else if depth > 0, byte == UInt8(ascii: ")") {
                depth -= 1
                continue
            }
            if depth == 0 { out.append(byte) }
        }
        return out
    }

    /// The parameter `boundary`, unquoted.
    private static func boundary(_ value: ArraySlice<UInt8>) -> [UInt8]? {
        var rest = value
        while let semicolon = rest.firstIndex(of: UInt8(ascii: ";")) {
            rest = rest[(semicolon + 1)...].drop(while: \.isBlank)
            guard let equals = rest.firstIndex(where: { $0 == UInt8(ascii: "=") || $0 == UInt8(ascii: ";") }) else { return nil }
            if rest[equals] == UInt8(ascii: ";") { continue }
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
