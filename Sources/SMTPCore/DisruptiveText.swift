extension Unicode.Scalar {
    /// A character that ends a line, drives a terminal or turns the direction of what follows: the controls of ASCII and beyond it, U+2028,
    /// U+2029, and those of bidirectional text. Text of a peer goes without them to logs, trace headers and terminals.
    package var isDisruptive: Bool {
        if isASCII { return value < 0x20 || value == 0x7F }
        return switch value {
        case 0x80...0x9F, 0x2028, 0x2029: true
        default: properties.isBidiControl
        }
    }
}
