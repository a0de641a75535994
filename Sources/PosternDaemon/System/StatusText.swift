/// A piece of JSON text.
enum JSON: Sendable, CustomStringConvertible {
    case raw(String)

    static func text(_ text: String) -> JSON {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.value < 32: out += "\\u00" + Hexadecimal.text([UInt8(scalar.value)])
            default: out.unicodeScalars.append(scalar)
            }
        }
        return .raw(out + "\"")
    }

    static func number(_ value: Int) -> JSON { .raw("\(value)") }
    static func array(_ items: [JSON]) -> JSON { .raw("[" + items.map(\.description).joined(separator: ",") + "]") }
    static func object(_ members: [(String, JSON)]) -> JSON {
        .raw("{" + members.map { "\(text($0.0)):\($0.1)" }.joined(separator: ",") + "}")
    }

    var description: String {
        switch self {
        case .raw(let text): text
        }
    }
}

/// `2026-11-21 06:48:34 UTC`.
enum UTCTime {
    static func text(_ seconds: Int) -> String {
        let (days, rest) = seconds.quotientAndRemainder(dividingBy: 86_400)
        // Howard Hinnant's civil_from_days, for days since 1970.
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * dayOfYear + 2) / 153
        let date = [
            yearOfEra + era * 400 + (month >= 10 ? 1 : 0), month < 10 ? month + 3 : month - 9, dayOfYear - (153 * month + 2) / 5 + 1,
        ]
        func pad(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return date.map(pad).joined(separator: "-") + " " + [rest / 3600, rest / 60 % 60, rest % 60].map(pad).joined(separator: ":")
            + " UTC"
    }
}
