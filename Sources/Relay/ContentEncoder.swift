import NIOCore

/// Prepares a message's content for DATA (RFC 5321 section 4.5.2): doubles a dot at the start of a line, ends the last line, and folds lines
/// that are longer than `smtp_line_length_limit` as Postfix does. Works by blocks: what needs no change is passed on without a copy.
struct ContentEncoder {
    private static let lineFeed = UInt8(ascii: "\n")
    private static let dot = UInt8(ascii: ".")

    /// 0 for no limit.
    private let lineLengthLimit: Int
    /// Bytes of the current line seen so far, CR included.
    private var lineLength = 0
    private var lastByte: UInt8 = 0

    /// A limit below 8 would leave no room to fold in; it is raised.
    init(lineLengthLimit: Int) { self.lineLengthLimit = lineLengthLimit <= 0 ? 0 : max(lineLengthLimit, 8) }

    /// The block as it goes over the wire. Blocks may be cut anywhere.
    mutating func encode(_ block: ByteBuffer) -> ByteBuffer {
        let view = block.readableBytesView
        guard let last = view.last else { return block }
        var output: ByteBuffer?
        /// Start of what has not been copied to `output` yet.
        var copied = view.startIndex
        var position = view.startIndex

        func insert(_ text: StaticString, before index: Int) {
            var buffer = output ?? ByteBufferAllocator().buffer(capacity: view.count + view.count / 16 + 64)
            buffer.writeBytes(view[copied..<index])
            buffer.writeStaticString(text)
            output = buffer
            copied = index
        }

        while position < view.endIndex {
            if lineLength == 0, view[position] == Self.dot { insert(".", before: position) }
            let end = view[position...].firstIndex(of: Self.lineFeed) ?? view.endIndex
            // The room left leaves space for the CR, which does not count as content.
            while lineLengthLimit > 0, lineLength + (end - position) > lineLengthLimit + 1 {
                let cut = position + max(0, lineLengthLimit - lineLength)
                insert("\r\n ", before: cut)
                position = cut
                lineLength = 1
            }
            if end == view.endIndex {
                lineLength += end - position
                position = end
            } else {
                lineLength = 0
                position = end + 1
            }
        }
        lastByte = last
        guard var result = output else { return block }
        result.writeBytes(view[copied...])
        return result
    }

    /// What ends the content: the final dot, after a line end if the content lacks one.
    var terminator: StaticString {
        if lineLength == 0 { return ".\r\n" }
        return lastByte == UInt8(ascii: "\r") ? "\n.\r\n" : "\r\n.\r\n"
    }
}
