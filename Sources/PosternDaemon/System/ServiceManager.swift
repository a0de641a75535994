import Glibc

/// systemd's side of a service, by its documented protocols and without its library: sd_notify(3) datagrams, the watchdog, and sockets that
/// are passed at start (sd_listen_fds(3)). Each is silent where the environment does not ask for it.
struct ServiceManager: Sendable {
    /// `NOTIFY_SOCKET`: a path, or a name in the abstract namespace that begins with `@`.
    private let notifySocket: String?
    /// Seconds between two pings, half of what the manager waits; nil without a watchdog.
    private let watchdogInterval: Double?
    private var nextPing = 0.0

    init(environment: (String) -> String? = ProcessEnvironment.value) {
        notifySocket = environment("NOTIFY_SOCKET").flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
        let isForUs = environment("WATCHDOG_PID").map { pid_t($0) == getpid() } ?? true
        let microseconds = environment("WATCHDOG_USEC").flatMap(Double.init) ?? 0
        watchdogInterval = isForUs && notifySocket != nil && microseconds > 0 ? max(0.05, microseconds / 2e6) : nil
    }

    func ready(_ status: String) { notify("READY=1\nSTATUS=\(oneLine(status))\nMAINPID=\(getpid())") }

    func stopping() { notify("STOPPING=1") }

    /// A reload has begun; ``ready(_:)`` ends it (Type=notify-reload).
    func reloading() {
        var now = timespec()
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
        notify("RELOADING=1\nMONOTONIC_USEC=\(UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1000)")
    }

    /// Pings the watchdog when it is time; to be called from the loop whose life it is to prove. Returns when it is due next.
    mutating func ping(at now: Double) -> Double? {
        guard let watchdogInterval else { return nil }
        if now >= nextPing {
            notify("WATCHDOG=1")
            nextPing = now + watchdogInterval
        }
        return nextPing
    }

    private func oneLine(_ text: String) -> String { text.split(whereSeparator: \.isNewline).joined(separator: " ") }

    private func notify(_ message: String) {
        guard let notifySocket else { return }
        let descriptor = socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue) | CInt(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let bytes = Array(message.utf8)
        // A manager that is gone, or slow, is not waited for.
        _ = unsafe try? UnixSocket.withAddress(notifySocket) { address, length in
            unsafe bytes.withUnsafeBytes { CInt(unsafe sendto(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL), address, length)) }
        }
    }
}

/// getenv(3).
enum ProcessEnvironment {
    static func value(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    static func remove(_ name: String) { _ = unsafe unsetenv(name) }
}
