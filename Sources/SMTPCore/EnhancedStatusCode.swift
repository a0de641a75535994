/// An enhanced mail system status code (RFC 3463): `class.subject.detail`, as in `5.7.1`.
package struct EnhancedStatusCode: Sendable, Hashable, CustomStringConvertible {
    /// 2 (success), 4 (persistent transient failure) or 5 (permanent failure).
    package var `class`: UInt8
    /// 0 to 999.
    package var subject: UInt16
    /// 0 to 999.
    package var detail: UInt16

    package init(_ class: UInt8, _ subject: UInt16, _ detail: UInt16) {
        self.class = `class`
        self.subject = subject
        self.detail = detail
    }

    /// Parses `C.S.D` where C is 2, 4 or 5 and S and D have one to three digits; nil for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let first = UInt8(parts[0]), first == 2 || first == 4 || first == 5, parts[0].utf8.count == 1,
            let second = Self.number(parts[1]), let third = Self.number(parts[2])
        else { return nil }
        self.init(first, second, third)
    }

    package var description: String { "\(`class`).\(subject).\(detail)" }

    private static func number(_ text: some StringProtocol) -> UInt16? {
        guard (1...3).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return UInt16(text)
    }
}
