import Glibc

/// RLIMIT_NOFILE, inherited by the roles.
enum DescriptorLimit {
    /// As high as the administrator of the machine allows.
    static func raise() {
        var limit = get()
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
