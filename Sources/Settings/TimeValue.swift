/// The unit of a time parameter: the letter after the number, or the parameter's own when there is none.
package enum TimeUnit: Character, Sendable, CaseIterable {
    case seconds = "s"
    case minutes = "m"
    case hours = "h"
    case days = "d"
    case weeks = "w"

    /// Seconds in one unit.
    package var seconds: Int {
        switch self {
        case .seconds: 1
        case .minutes: 60
        case .hours: 3600
        case .days: 86_400
        case .weeks: 604_800
        }
    }
}

/// A Postfix time value: `300`, `300s`, `5d`.
package enum TimeValue {
    /// Seconds, or nil if the text is not a time value. A negative number, an unknown unit or more than 2^31-1 seconds is not one.
    package static func seconds(_ text: some StringProtocol, unit defaultUnit: TimeUnit) -> Int? {
        var digits = text[...]
        var unit = defaultUnit
        if let last = digits.last, !last.isNumber {
            guard let named = TimeUnit(rawValue: Character(last.lowercased())) else { return nil }
            unit = named
            digits = digits.dropLast()
        }
        guard let number = DecimalNumber.parse(digits), number >= 0 else { return nil }
        let (total, overflow) = number.multipliedReportingOverflow(by: unit.seconds)
        guard !overflow, total <= Int(Int32.max) else { return nil }
        return total
    }
}

/// Integers as main.cf has them.
enum DecimalNumber {
    /// ASCII digits with an optional minus sign; nil for anything else or out of range.
    static func parse(_ text: some StringProtocol) -> Int? {
        let digits = text.utf8.first == UInt8(ascii: "-") ? text.utf8.dropFirst() : text.utf8[...]
        guard !digits.isEmpty, digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
        return Int(text)
    }
}
