internal import NIOCore

/// Takes the content of DATA off the wire (RFC 5321 section 4.5.2): removes the dots that were stuffed and finds the final one. Input may
/// be split anywhere. Only CRLF ends a line here, so `LF . LF` is content.
struct ContentDecoder {
    private enum State { case lineStart, dot, dotCR, text, carriageReturn }

    private var state = State.lineStart

    /// Moves content from `input` to `output`; true once the final dot's line has been read. Input after it is left alone.
    mutating func decode(_ input: inout ByteBuffer, into output: inout ByteBuffer) -> Bool {
        while true {
            if state == .text {
                // The bulk of a message: everything up to the next CR goes over in one piece.
                let view = input.readableBytesView
                let end = view.firstIndex(of: UInt8(ascii: "\r")) ?? view.endIndex
                if var piece = input.readSlice(length: end - view.startIndex) { output.writeBuffer(&piece) }
            }
            guard let byte = input.readInteger(as: UInt8.self) else { return false }
            switch (state, byte) {
            case (.lineStart, UInt8(ascii: ".")): state = .dot
            case (.dot, UInt8(ascii: "\r")): state = .dotCR
            case (.dotCR, UInt8(ascii: "\n")):
                state = .lineStart
                return true
            case (.dotCR, _):
                output.writeInteger(UInt8(ascii: "\r"))
                state = .carriageReturn
                take(byte, into: &output)
            default: take(byte, into: &output)
            }
        }
    }

    private mutating func take(_ byte: UInt8, into output: inout ByteBuffer) {
        output.writeInteger(byte)
        switch byte {
        case UInt8(ascii: "\r"): state = .carriageReturn
        case UInt8(ascii: "\n") where state == .carriageReturn: state = .lineStart
        default: state = .text
        }
    }
}
