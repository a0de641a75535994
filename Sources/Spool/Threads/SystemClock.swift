import Glibc

/// The clocks of this machine.
package struct SystemClock: SpoolClock {
    package init() {}
    package func wallTime() -> Double { Self.seconds(CLOCK_REALTIME) }
    package func monotonicTime() -> Double { Self.seconds(CLOCK_BOOTTIME) }

    private static func seconds(_ clock: clockid_t) -> Double {
        var now = timespec()
        unsafe clock_gettime(clock, &now)
        return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
    }
}
