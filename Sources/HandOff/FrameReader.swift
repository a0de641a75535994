import NIOCore

/// Cuts a byte stream into frames.
struct FrameReader {
    private var pending = ByteBuffer()

    mutating func feed(_ bytes: ByteBuffer, _ body: (HandOffFrame) throws(MalformedFrame) -> Void) throws(MalformedFrame) {
        var input = bytes
        if pending.readableBytes > 0 {
            pending.writeBuffer(&input)
            swap(&input, &pending)
            pending = ByteBuffer()
        }
        while let frame = try HandOffFrame.decode(from: &input) { try body(frame) }
        // What is left is the beginning of a frame: copy it, so that the large buffer it is a slice of can go.
        if input.readableBytes > 0 { pending = ByteBuffer(bytes: input.readableBytesView) }
    }
}
