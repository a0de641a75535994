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
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(notifySocket.utf8)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        // An abstract name ends where the length says, a path at its zero.
        let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count + (name[0] == 0 ? 0 : 1))
        let bytes = Array(message.utf8)
        unsafe withUnsafePointer(to: &address) { address in
            unsafe address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                _ = unsafe bytes.withUnsafeBytes { bytes in
                    unsafe sendto(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL), address, length)
                }
            }
        }
    }
}

/// getenv(3).
enum ProcessEnvironment {
    static func value(_ name: String) -> String? { unsafe getenv(name).map { unsafe String(cString: $0) } }

    static func remove(_ name: String) { _ = unsafe unsetenv(name) }
}
