import Glibc

/// A moment as message headers print it: seconds since 1970 and the local time zone's offset and name at that moment.
package struct MailTime: Sendable, Hashable {
    package let epochSeconds: Int
    /// East of Greenwich is positive.
    package let offsetSeconds: Int
    package let zoneName: String

    package init(epochSeconds: Int, offsetSeconds: Int = 0, zoneName: String = "UTC") {
        self.epochSeconds = epochSeconds
        self.offsetSeconds = offsetSeconds
        self.zoneName = zoneName
    }

    /// Now, in the process's time zone. The zone file is read at the first call of the process, before any chroot.
    package static func now() -> MailTime {
        var clock = timespec()
        unsafe clock_gettime(CLOCK_REALTIME, &clock)
        var seconds = clock.tv_sec
        var local = unsafe tm()
        unsafe localtime_r(&seconds, &local)
        let zone = unsafe local.tm_zone.map { unsafe String(cString: $0) } ?? ""
        return unsafe MailTime(epochSeconds: clock.tv_sec, offsetSeconds: local.tm_gmtoff, zoneName: zone)
    }

    /// RFC 5322 date with the zone's name as a comment, as Postfix writes it: `Sat, 21 Nov 2026 02:55:12 +0000 (UTC)`.
    package var headerDate: String {
        let local = Calendar(secondsSince1970: epochSeconds + offsetSeconds)
        let minutes = abs(offsetSeconds) / 60
        var out = Self.weekdays[local.weekday]
        out += ", \(local.day) "
        out += Self.months[local.month - 1]
        out += " \(local.year) "
        out += "\(Self.two(local.hour)):\(Self.two(local.minute)):\(Self.two(local.second)) "
        out += offsetSeconds < 0 ? "-" : "+"
        out += Self.two(minutes / 60) + Self.two(minutes % 60)
        if !zoneName.isEmpty { out += " (\(zoneName))" }
        return out
    }

    /// `Nov 21 07:06:03`, as logs show local time.
    package var logTime: String {
        let local = Calendar(secondsSince1970: epochSeconds + offsetSeconds)
        let day = local.day < 10 ? " \(local.day)" : "\(local.day)"
        return "\(Self.months[local.month - 1]) \(day) \(Self.two(local.hour)):\(Self.two(local.minute)):\(Self.two(local.second))"
    }

    /// `YYYYMMDDhhmmss` in UTC, the first part of the Message-Id values we make.
    package var compactUTC: String {
        let utc = Calendar(secondsSince1970: epochSeconds)
        return "\(utc.year)" + Self.two(utc.month) + Self.two(utc.day) + Self.two(utc.hour) + Self.two(utc.minute) + Self.two(utc.second)
    }

    private static let weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    private static func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
}

/// The proleptic Gregorian calendar, for dates without a C library call.
private struct Calendar {
    let year: Int
    let month: Int
    let day: Int
    let hour: Int
    let minute: Int
    let second: Int
    /// 0 is Sunday.
    let weekday: Int

    init(secondsSince1970: Int) {
        let days = Int((Double(secondsSince1970) / 86_400).rounded(.down))
        let rest = secondsSince1970 - days * 86_400
        hour = rest / 3600
        minute = rest / 60 % 60
        second = rest % 60
        weekday = ((days + 4) % 7 + 7) % 7
        // Days are counted in eras of 400 years that begin on 1 March, which puts the leap day last.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}
