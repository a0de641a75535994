/// The name of one message in the queue. Never used twice; printed in Postfix's look, upper-case hexadecimal (`[0-9A-F]+`).
package struct QueueID: Sendable, Hashable, Comparable, CustomStringConvertible {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Parses upper- or lower-case hexadecimal of 1 to 16 digits; nil for anything else.
    package init?(_ text: some StringProtocol) {
        guard (1...16).contains(text.utf8.count), text.utf8.first != UInt8(ascii: "+"), let value = UInt64(text, radix: 16) else {
            return nil
        }
        self.init(rawValue: value)
    }

    package var description: String {
        let digits = String(rawValue, radix: 16, uppercase: true)
        return digits.utf8.count >= 10 ? digits : String(repeating: "0", count: 10 - digits.utf8.count) + digits
    }

    package static func < (a: QueueID, b: QueueID) -> Bool { a.rawValue < b.rawValue }
}
