import Glibc

/// The clocks of this machine.
package struct SystemClock: SpoolClock {
    package init() {}
    package func wallTime() -> Double { Self.seconds(CLOCK_REALTIME) }
    package func monotonicTime() -> Double { Self.seconds(CLOCK_BOOTTIME) }

    /// Seconds that this machine's time zone is ahead of UTC at a time.
    package static func offsetFromUTC(_ time: Double) -> Int {
        var seconds = time_t(max(min(time, 1e11), 0))
        var local = unsafe tm()
        guard unsafe localtime_r(&seconds, &local) != nil else { return 0 }
        return unsafe local.tm_gmtoff
    }

    private static func seconds(_ clock: clockid_t) -> Double {
        var now = timespec()
        unsafe clock_gettime(clock, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }
}
