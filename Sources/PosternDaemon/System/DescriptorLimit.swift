import Glibc

/// RLIMIT_NOFILE, inherited by the roles.
enum DescriptorLimit {
    /// More than any machine serves; the kernel's own limit (`fs.nr_open`) has the same default.
    private static let wanted: rlim_t = 1 << 20

    /// As high as the administrator of the machine allows; root may go beyond the hard limit it was started with.
    static func raise() {
        var limit = get()
        if Account.isRoot, limit.rlim_max < wanted {
            var higher = rlimit(rlim_cur: wanted, rlim_max: wanted)
            if unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &higher) == 0 { return }
        }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    static var current: Int { Int(clamping: get().rlim_cur) }

    private static func get() -> rlimit {
        var limit = rlimit()
        _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        return limit
    }
}
