import NIOCore

/// Cuts a byte stream into frames.
struct FrameReader {
    private var pending = ByteBuffer()

    mutating func feed(_ bytes: ByteBuffer, _ body: (HandOffFrame) throws(MalformedFrame) -> Void) throws(MalformedFrame) {
        var input = bytes
        let isContinued = pending.readableBytes > 0
        if isContinued {
            pending.writeBuffer(&input)
            swap(&input, &pending)
            pending = ByteBuffer()
        }
        let start = input.readerIndex
        while let frame = try HandOffFrame.decode(from: &input) { try body(frame) }
        guard input.readableBytes > 0 else { return }
        // What is left is the beginning of a frame. It is copied, so that the large buffer it is a slice of can go; but not again with each
        // piece of a large frame.
        pending = isContinued && input.readerIndex == start ? input : ByteBuffer(bytes: input.readableBytesView)
    }
}
