import SMTPCore

/// The queue in words: what `mailq` (`postqueue -p`) and `postqueue -j` print. Pure, but for the machine's time zone.
package enum QueueReport {
    package static let header = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"
    package static let empty = "Mail queue is empty\n"

    /// One message, with an empty line after it. `localTime` gives the offset from UTC in seconds for a time since 1970.
    package static func text(_ message: QueueListing, localTime: (Double) -> Int = SystemClock.offsetFromUTC) -> String {
        let mark =
            switch message.state {
            case .active: "*"
            case .hold: "!"
            case .deferred: ""
            }
        var out = pad(message.id.description + mark, 11, left: false) + pad(String(message.size), 8) + " "
        out += arrivalTime(message.arrival, localTime) + "  " + name(message.sender) + "\n"
        if !message.note.isEmpty { out += pad("(\(printable(message.note)))", 78) + "\n" }
        var lastReason = ""
        for recipient in message.recipients {
            // Recipients that wait for the same reason share its line.
            if recipient.delayReason != lastReason, !recipient.delayReason.isEmpty {
                out += pad("(\(printable(recipient.delayReason)))", 78) + "\n"
            }
            lastReason = recipient.delayReason
            out += pad("", 41) + printable(recipient.address.description) + "\n"
        }
        return out + "\n"
    }

    /// The last line; `bytes` and `count` are those of all messages shown.
    package static func trailer(bytes: Int, count: Int) -> String {
        "-- \(bytes / 1_024) Kbytes in \(count) Request\(count == 1 ? "" : "s").\n"
    }

    /// One message as a JSON object on a line of its own.
    package static func json(_ message: QueueListing) -> String {
        let recipients = message.recipients.map { recipient in
            let reason = recipient.delayReason.isEmpty ? "" : ", \"delay_reason\": \(quoted(recipient.delayReason))"
            return "{\"address\": \(quoted(recipient.address.description))\(reason)}"
        }
        let arrival = Int(clamping: Int64(max(min(message.arrival, 1e15), 0)))
        return "{\"queue_name\": \"\(message.state.rawValue)\", \"queue_id\": \"\(message.id)\", \"arrival_time\": \(arrival), "
            + "\"message_size\": \(message.size), \"forced_expire\": false, \"sender\": \(quoted(name(message.sender))), "
            + "\"recipients\": [\(recipients.joined(separator: ", "))]"
            + (message.note.isEmpty ? "" : ", \"hold_reason\": \(quoted(message.note))") + "}\n"
    }

    /// What `postern queue verify` prints: a line for each damage, then one that sums up.
    package static func text(_ report: VerificationReport, localTime: (Double) -> Int = SystemClock.offsetFromUTC) -> String {
        var out = ""
        for damage in report.damages {
            let id = damage.id.map { "\($0): " } ?? ""
            let mark = damage.acknowledged.map { " (acknowledged \(arrivalTime($0, localTime)))" } ?? ""
            out += printable("damage\(mark): \(damage.file): \(damage.length) bytes at \(damage.offset): \(id)\(damage.what)") + "\n"
        }
        return out
            + "\(report.messages) messages, \(report.segments) segments with \(report.records) records and \(report.indexes) indexes, "
            + "\(report.contentFiles) content files, \(report.bytes) bytes read: "
            + sum(report.damages.count, report.damages.count { $0.acknowledged != nil }) + "\n"
    }

    private static func sum(_ damages: Int, _ acknowledged: Int) -> String {
        if damages == 0 { return "no damage" }
        return "\(damages) damaged" + (acknowledged == 0 ? "" : ", \(acknowledged == damages ? "all" : "\(acknowledged)") acknowledged")
    }

    /// The same as one JSON object.
    package static func json(_ report: VerificationReport) -> String {
        let damages = report.damages.map { damage in
            let id = damage.id.map { ", \"queue_id\": \"\($0)\"" } ?? ""
            let acknowledged = damage.acknowledged.map { ", \"acknowledged\": \(Int(clamping: Int64($0)))" } ?? ""
            return "{\"file\": \(quoted(damage.file)), \"offset\": \(damage.offset), \"length\": \(damage.length)\(id), "
                + "\"what\": \(quoted(damage.what))\(acknowledged)}"
        }
        return "{\"messages\": \(report.messages), \"segments\": \(report.segments), \"records\": \(report.records), "
            + "\"indexes\": \(report.indexes), \"content_files\": \(report.contentFiles), \"bytes\": \(report.bytes), "
            + "\"damage\": [\(damages.joined(separator: ", "))]}\n"
    }

    private static func name(_ sender: Address) -> String { sender.isNull ? "MAILER-DAEMON" : printable(sender.description) }

    /// `Thu Nov 20 10:00:00`.
    private static func arrivalTime(_ time: Double, _ localTime: (Double) -> Int) -> String {
        let seconds = Int(max(min(time, 1e11), 0)) + localTime(time)
        let days = seconds >= 0 ? seconds / 86_400 : 0
        let date = civil(days)
        let rest = max(seconds, 0) % 86_400
        let clock = [rest / 3_600, rest / 60 % 60, rest % 60].map { ($0 < 10 ? "0" : "") + String($0) }.joined(separator: ":")
        let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][days % 7]
        let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][date.month - 1]
        return "\(weekday) \(month) \(pad(String(date.day), 2)) \(clock)"
    }

    /// Month and day of a number of days since 1970 (Gregorian; the year starts in March inside, which puts the leap day last).
    private static func civil(_ days: Int) -> (month: Int, day: Int) {
        let dayOfEra = (days + 719_468) % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        return (shifted < 10 ? shifted + 3 : shifted - 9, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }

    private static func pad(_ text: String, _ width: Int, left: Bool = true) -> String {
        let space = String(repeating: " ", count: max(0, width - text.utf8.count))
        return left ? space + text : text + space
    }

    /// Control characters, which could forge lines or drive a terminal, become `?`.
    static func printable(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars { out.append(scalar.isDisruptive ? "?" : scalar) }
        return String(out)
    }

    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.isDisruptive:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
