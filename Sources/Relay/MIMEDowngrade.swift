import NIOCore

/// Converts a message to seven bits as smtp(8) does for a server without 8BITMIME: each body part that is declared `8bit` or `binary` becomes
/// quoted-printable, a multipart or message/rfc822 around it becomes `7bit`, everything else passes as it is.
///
/// A state machine over blocks that may be cut anywhere: the result is the same. Memory is bounded by ``headerLimit``.
struct MIMEDowngrade {
    private enum Mode {
        /// In a header block, which is held back until its end tells what the part is.
        case header
        case identity
        case quotedPrintable
    }

    /// A header block longer than this is passed on as it is, and so is the part it belongs to.
    private static let headerLimit = 262_144
    /// The longest boundary line that is looked for: RFC 2046 allows 70 characters, and white space may follow.
    private static let lineLimit = 2048
    /// `mime_nesting_limit`'s default.
    private static let nestingLimit = 100

    private var mode = Mode.header
    private var boundaries: [(text: [UInt8], isDigest: Bool)] = []
    /// The header block at hand is that of a part of a multipart/digest.
    private var isInDigest = false
    private var header: [UInt8] = []
    /// The beginning of a line whose end has not come yet.
    private var line: [UInt8] = []
    /// The line is too long to be a boundary, and its beginning has been passed on.
    private var isInLongLine = false
    private var encoder = QuotedPrintableEncoder()
    /// A header, of the message, a part or a message inside it, has a byte beyond ASCII: it needs SMTPUTF8 (RFC 6532).
    private(set) var hasHeaderBeyondASCII = false
    /// The same of the message's own header; nil until that is complete.
    private(set) var isOwnHeaderBeyondASCII: Bool?

    mutating func convert(_ block: ByteBuffer) -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: block.readableBytes + block.readableBytes / 8 + 64)
        var view = block.readableBytesView
        while let lineFeed = view.firstIndex(of: UInt8(ascii: "\n")) {
            line += view[...lineFeed]
            view = view[(lineFeed + 1)...]
            takeLine(into: &out)
        }
        line += view
        if line.count > Self.lineLimit, mode != .header { takePiece(into: &out) }
        if header.count + line.count > Self.headerLimit { giveUpHeader(into: &out) }
        return out
    }

    /// What was held back, at the end of the message.
    mutating func finish() -> ByteBuffer {
        var out = ByteBuffer()
        switch mode {
        case .header:
            header += line
            noteHeader()
            out.writeBytes(header)
        case .identity: out.writeBytes(line)
        case .quotedPrintable:
            encoder.encode(line[...], into: &out)
            encoder.finish(into: &out)
        }
        header = []
        line = []
        return out
    }

    /// A complete line, line end included.
    private mutating func takeLine(into out: inout ByteBuffer) {
        defer { line.removeAll(keepingCapacity: true) }
        if isInLongLine {
            isInLongLine = false
            return writeBody(line[...], into: &out)
        }
        if let end = boundary() {
            noteHeader()
            out.writeBytes(MIMEPartHeader(header, isInDigest: isInDigest).convertedHeader())
            header.removeAll(keepingCapacity: true)
            out.writeBytes(line)
            mode = end ? .identity : .header
            isInDigest = boundaries.last?.isDigest == true
            return
        }
        guard mode == .header else { return writeBody(line[...], into: &out) }
        header += line
        if line.first == UInt8(ascii: "\n") || line.starts(with: [0x0D, 0x0A]) { finishHeader(into: &out) }
    }

    /// The beginning of a line that cannot be a boundary. A carriage return at its end may belong to the line end: it stays.
    private mutating func takePiece(into out: inout ByteBuffer) {
        let keeps = line.last == UInt8(ascii: "\r") ? 1 : 0
        let piece = line[..<(line.count - keeps)]
        if mode == .quotedPrintable { encoder.encode(piece, into: &out) } else { out.writeBytes(piece) }
        line = Array(line.suffix(keeps))
        isInLongLine = true
    }

    private mutating func writeBody(_ bytes: ArraySlice<UInt8>, into out: inout ByteBuffer) {
        guard mode == .quotedPrintable else {
            out.writeBytes(bytes)
            return
        }
        var end = bytes.endIndex - 1
        if end > bytes.startIndex, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        encoder.encode(bytes[..<end], into: &out)
        encoder.endLine(into: &out)
    }

    /// Whether the line is a boundary: false for one that begins a part, true for one that ends the last; nil for any other line.
    ///
    /// What stands behind the boundary does not matter, and the innermost that fits counts, as in Postfix.
    private mutating func boundary() -> Bool? {
        guard line.count <= Self.lineLimit, line.starts(with: [0x2D, 0x2D]) else { return nil }
        for index in boundaries.indices.reversed() where line.dropFirst(2).starts(with: boundaries[index].text) {
            let rest = line.dropFirst(2 + boundaries[index].text.count)
            let isEnd = rest.starts(with: [0x2D, 0x2D])
            boundaries.removeSubrange((isEnd ? index : index + 1)...)
            return isEnd
        }
        return nil
    }

    private mutating func noteHeader() {
        if !hasHeaderBeyondASCII { hasHeaderBeyondASCII = header.contains { $0 >= 0x80 } }
        isOwnHeaderBeyondASCII = isOwnHeaderBeyondASCII ?? hasHeaderBeyondASCII
    }

    private mutating func flushHeader(into out: inout ByteBuffer) {
        out.writeBytes(header)
        header.removeAll(keepingCapacity: true)
    }

    private mutating func giveUpHeader(into out: inout ByteBuffer) {
        noteHeader()
        flushHeader(into: &out)
        out.writeBytes(line)
        line = []
        isInLongLine = true
        mode = .identity
    }

    /// The block is complete: what kind of part it announces decides how the part goes on.
    private mutating func finishHeader(into out: inout ByteBuffer) {
        noteHeader()
        let part = MIMEPartHeader(header, isInDigest: isInDigest)
        isInDigest = false
        switch part.kind {
        case .leaf: mode = part.isEightBit ? .quotedPrintable : .identity
        case .multipart(let boundary, let isDigest):
            mode = .identity
            if let boundary, boundaries.count < Self.nestingLimit { boundaries.append((boundary, isDigest)) }
        case .message: mode = .header
        }
        out.writeBytes(part.convertedHeader())
        header.removeAll(keepingCapacity: true)
    }
}

/// RFC 2045 section 6.7, a piece of a line at a time.
private struct QuotedPrintableEncoder {
    private var column = 0
    /// A blank may stay as it is unless the line ends behind it.
    private var heldBlank: UInt8?

    mutating func encode(_ bytes: ArraySlice<UInt8>, into out: inout ByteBuffer) {
        for byte in bytes {
            if let blank = heldBlank { write([blank], into: &out) }
            heldBlank = nil
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"): heldBlank = byte
            case 0x21..<0x7F where byte != UInt8(ascii: "="): write([byte], into: &out)
            default: write(Self.quoted(byte), into: &out)
            }
        }
    }

    mutating func endLine(into out: inout ByteBuffer) {
        finish(into: &out)
        out.writeStaticString("\r\n")
        column = 0
    }

    mutating func finish(into out: inout ByteBuffer) {
        if let blank = heldBlank { write(Self.quoted(blank), into: &out) }
        heldBlank = nil
    }

    private mutating func write(_ text: [UInt8], into out: inout ByteBuffer) {
        // Postfix's length: up to 76 with the `=`, 74 where the line ends with a character that stands for itself.
        if column > 72 {
            out.writeStaticString("=\r\n")
            column = 0
        }
        out.writeBytes(text)
        column += text.count
    }

    private static func quoted(_ byte: UInt8) -> [UInt8] {
        func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x37 + value }
        return [UInt8(ascii: "="), digit(byte >> 4), digit(byte & 15)]
    }
}
