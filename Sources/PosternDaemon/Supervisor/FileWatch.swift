import Glibc

/// Notices that one of the files the configuration names is another one now. Nothing is read: a file is what stat(2) says of it, links
/// followed, so that the swaps of certbot (a link to a new file) and Kubernetes (a link to a new directory) are changes like any other.
struct FileWatch {
    /// Seconds without an event before the files are looked at: a certificate and its key change one after the other.
    static let settling = 1.0
    /// Seconds after which they are looked at though there is no end of events.
    static let patience = 5.0
    /// Seconds between looks without any event, for changes that no directory of a file tells of.
    static let interval = 60.0

    /// Readable when something stirs in a directory; -1 when the kernel has none left for us, and the interval must do.
    let descriptor: CInt
    private(set) var files: [String] = []
    private var known: [String: FileIdentity] = [:]
    private var directories: [String: CInt] = [:]
    private var firstEvent: Double?
    private var lastEvent = 0.0
    private var lastLook = monotonicSeconds()

    init() { descriptor = inotify_init1(CInt(IN_NONBLOCK) | CInt(IN_CLOEXEC)) }

    /// Watches the files of these plans and no others. Those that are new are taken for known as they are now; a change of another one is
    /// still news.
    mutating func follow(_ plans: ServerPlan...) {
        files = Set(plans.flatMap(\.watched)).sorted()
        known = Dictionary(uniqueKeysWithValues: files.map { ($0, known[$0] ?? FileIdentity($0)) })
        let wanted = Set(plans.flatMap(\.directories))
        for (directory, watch) in directories where !wanted.contains(directory) {
            _ = inotify_rm_watch(descriptor, watch)
            directories[directory] = nil
        }
        let events = UInt32(IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_MOVED_FROM | IN_ONLYDIR)
        for directory in wanted where directories[directory] == nil {
            let watch = unsafe inotify_add_watch(descriptor, directory, events)
            if watch >= 0 { directories[directory] = watch }
        }
    }

    /// The files as they are now are no news.
    mutating func accept() {
        known = Dictionary(uniqueKeysWithValues: files.map { ($0, FileIdentity($0)) })
        firstEvent = nil
    }

    /// Something happened: what, is not read; the files themselves tell.
    mutating func stir(now: Double) {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        while unsafe bytes.withUnsafeMutableBytes({ unsafe read(descriptor, $0.baseAddress, $0.count) }) > 0 {}
        firstEvent = firstEvent ?? now
        lastEvent = now
    }

    /// Monotonic seconds of the next look.
    var checkAt: Double {
        guard let firstEvent else { return lastLook + Self.interval }
        return min(lastEvent + Self.settling, firstEvent + Self.patience)
    }

    /// The files that have changed since they were last followed or accepted; nil when it is not time to look.
    mutating func changes(now: Double) -> [String]? {
        guard now >= checkAt else { return nil }
        firstEvent = nil
        lastLook = now
        return files.filter { FileIdentity($0) != known[$0] }
    }
}
