import ByteScan
import NIOCore

/// Prepares a message's content for DATA (RFC 5321 section 4.5.2): puts a dot before a line that begins with one, ends the last line, and folds
/// lines that are longer than `smtp_line_length_limit` as Postfix does. A line that a careless server could take for the end of data is kept from
/// looking so. Works by blocks: what needs no change is passed on without a copy.
struct ContentEncoder {
    private static let lineFeed = UInt8(ascii: "\n")
    private static let dot = UInt8(ascii: ".")
    /// A dot, for a server that drops the eighth bit.
    private static let eightBitDot = UInt8(ascii: ".") | 0x80

    /// 0 for no limit.
    private let lineLengthLimit: Int
    /// Bytes of the current line seen so far, CR included.
    private var lineLength = 0
    private var lastByte: UInt8 = 0
    /// A line was longer than the limit.
    private(set) var hasFolded = false

    /// A limit below 8 would leave no room to fold in; it is raised.
    init(lineLengthLimit: Int) { self.lineLengthLimit = lineLengthLimit <= 0 ? 0 : max(lineLengthLimit, 8) }

    /// The block as it goes over the wire. Blocks may be cut anywhere.
    mutating func encode(_ block: ByteBuffer) -> ByteBuffer {
        guard block.readableBytes > 0, let last: UInt8 = block.getInteger(at: block.writerIndex - 1) else { return block }
        let end = block.writerIndex
        var output: ByteBuffer?
        /// Start of what has not been copied to `output` yet.
        var copied = block.readerIndex
        var position = block.readerIndex

        func insert(_ text: StaticString, before index: Int) {
            let size = block.readableBytes
            output.append(block, copied..<index, reserving: size + size / 16 + 64)
            output?.writeStaticString(text)
            copied = index
        }

        while position < end {
            if lineLength == 0 {
                switch block.getInteger(at: position, as: UInt8.self) {
                case Self.dot, Self.eightBitDot: insert(".", before: position)
                case 0:
                    // A server that drops NULs would find the end of data in a NUL and a dot; a NUL is no part of mail (RFC 5322 section 3.5).
                    insert(" ", before: position)
                    copied = position + 1
                default: break
                }
            }
            let lineEnd = block.firstIndex(of: Self.lineFeed, in: position..<end) ?? end
            // The room left leaves space for the CR, which does not count as content.
            while lineLengthLimit > 0, lineLength + (lineEnd - position) > lineLengthLimit + 1 {
                let cut = position + max(0, lineLengthLimit - lineLength)
                insert("\r\n ", before: cut)
                position = cut
                lineLength = 1
                hasFolded = true
            }
            if lineEnd == end {
                lineLength += lineEnd - position
            } else {
                lineLength = 0
            }
            position = lineEnd + 1
        }
        lastByte = last
        if output == nil { return block }
        output.append(block, copied..<end, reserving: 0)
        return output ?? block
    }

    /// What ends the content: the final dot, after a line end if the content lacks one.
    var terminator: StaticString {
        if lineLength == 0 { return ".\r\n" }
        return lastByte == UInt8(ascii: "\r") ? "\n.\r\n" : "\r\n.\r\n"
    }
}

extension ByteBuffer? {
    /// Appends a part of another buffer; the first time, makes room for `capacity` bytes. In place: a copy of what has been collected so far at
    /// each call would cost the square of its length.
    fileprivate mutating func append(_ other: ByteBuffer, _ range: Range<Int>, reserving capacity: Int) {
        if self == nil { self = ByteBufferAllocator().buffer(capacity: capacity) }
        guard !range.isEmpty, let part = other.getSlice(at: range.lowerBound, length: range.count) else { return }
        self?.writeImmutableBuffer(part)
    }
}
