import Glibc

/// The two shapes of a log line. Pure but for the time zone.
enum LogLine {
    /// Longer texts are cut: a client must not be able to fill the disk with one command.
    static let maximumTextLength = 2000

    /// `Nov 21 02:16:00`, local time, as syslog prints it.
    static func timestamp(_ seconds: Int) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        _ = unsafe localtime_r(&time, &parts)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ value: Int32, _ pad: String = "0") -> String { value < 10 ? "\(pad)\(value)" : "\(value)" }
        return
            unsafe "\(months[Int(parts.tm_mon)]) \(two(parts.tm_mday, " ")) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    /// Appends `text` with control characters replaced by `?`, so that no peer can forge a line of its own.
    static func append(_ text: String, to line: inout [UInt8]) {
        var room = maximumTextLength
        for byte in text.utf8 {
            guard room > 0 else { return }
            room -= 1
            line.append(byte < 0x20 || byte == 0x7F ? UInt8(ascii: "?") : byte)
        }
    }
}
