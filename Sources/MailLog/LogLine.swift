import Glibc
import SMTPCore

/// The two shapes of a log line. Pure but for the time zone.
package enum LogLine {
    /// Longer texts are cut: a client must not be able to fill the disk with one command.
    static let maximumTextLength = 2000

    /// `Nov 21 02:16:00`, local time, as syslog prints it.
    package static func timestamp(_ seconds: Int) -> String {
        var time = time_t(seconds)
        var parts = unsafe tm()
        _ = unsafe localtime_r(&time, &parts)
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        func two(_ value: Int32, _ pad: String = "0") -> String { value < 10 ? "\(pad)\(value)" : "\(value)" }
        return
            unsafe "\(months[Int(parts.tm_mon)]) \(two(parts.tm_mday, " ")) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
    }

    /// Appends `text` with control characters and their like replaced by `?`, so that no peer can forge a line of its own, or draw one on the
    /// terminal of whoever reads the log.
    static func append(_ text: String, to line: inout [UInt8]) {
        let start = line.count
        for byte in text.utf8 {
            // Rare: all that a server says itself is ASCII.
            if byte >= 0x80 {
                line.removeSubrange(start...)
                return appendUnicode(text, to: &line)
            }
            guard line.count - start < maximumTextLength else { return }
            line.append(byte < 0x20 || byte == 0x7F ? UInt8(ascii: "?") : byte)
        }
    }

    private static func appendUnicode(_ text: String, to line: inout [UInt8]) {
        let start = line.count
        for scalar in text.unicodeScalars {
            let bytes = UTF8.encode(scalar.isDisruptive ? "?" : scalar)
            guard let bytes, line.count - start + bytes.count <= maximumTextLength else { return }
            line.append(contentsOf: bytes)
        }
    }
}
