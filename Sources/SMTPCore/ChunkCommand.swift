/// The command before a chunk of content: `BDAT size [LAST]` (RFC 3030 section 2).
package struct ChunkCommand: Sendable, Hashable {
    /// Bytes that follow the command's line end.
    package let size: Int
    /// No further chunk belongs to the message.
    package let isLast: Bool

    /// nil when the words are none of the command's: nobody can then say where the next command begins.
    package init?(_ command: CommandLine) {
        guard command.count == 2 || (command.count == 3 && command.matches(2, "last")) else { return nil }
        guard let size = Self.number(command[1]) else { return nil }
        self.size = size
        isLast = command.count == 3
    }

    /// Digits only, without a sign; nil beyond what a file can hold.
    private static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        if digits.isEmpty { return nil }
        var value = 0
        for digit in digits {
            guard digit.isASCIIDigit else { return nil }
            let (tens, tensOverflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, sumOverflow) = tens.addingReportingOverflow(Int(digit & 0x0F))
            if tensOverflow || sumOverflow { return nil }
            value = sum
        }
        return value
    }
}
