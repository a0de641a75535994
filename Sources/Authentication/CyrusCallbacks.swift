import CSASL
import Glibc
import Synchronization

/// libsasl2 keeps process-wide tables without locks of its own. Every call of ours into it holds this lock; in a worker's process nobody
/// else wants it, and in the relay the steps are short computations.
enum CyrusLock {
    private static let mutex = Mutex<Void>(())

    static func hold<T: ~Copyable, E: Error>(_ body: () throws(E) -> sending T) throws(E) -> sending T {
        try mutex.withLock { (_) throws(E) -> sending T in try body() }
    }
}

/// What the library's callbacks reach by their context pointer. Lives as long as the process; touched only under ``CyrusLock``, which the
/// thread that is inside the library holds.
@safe final class CyrusContext {
    /// Paths joined by colons, as the library wants them.
    var configurationPath = ""
    /// Files and sockets below this directory win over the same path outside.
    var chrootDirectory: String?
    /// What smtpd.conf says, to know whether an option of ours may stand in for a default.
    var settings: [String: String] = [:]
    private(set) var log: [String] = []
    /// C strings handed out to the library, which expects them to stay.
    private var kept: [String: UnsafePointer<CChar>] = unsafe [:]

    func takeLog() -> [String] {
        defer { log = [] }
        return log
    }

    func keep(_ text: String) -> UnsafePointer<CChar>? {
        if let known = unsafe kept[text] { return unsafe known }
        guard let copy = unsafe strdup(text).map({ unsafe UnsafePointer($0) }) else { return nil }
        unsafe kept[text] = unsafe copy
        return unsafe copy
    }

    /// One line of the library, in Postfix's words. What may hold passwords (`SASL_LOG_PASS`) and traces are dropped whatever `log_level` says.
    func record(level: CInt, message: String) {
        let word: String
        switch level {
        case SASL_LOG_ERR: word = "problem"
        case SASL_LOG_FAIL: word = "failure"
        case SASL_LOG_WARN: word = "warning"
        default: return
        }
        // A peer can make the library talk; a worker does not collect it without bound.
        if log.count < 20 { log.append("SASL authentication \(word): \(message.prefix(500))") }
    }

    /// The value for an option that names a file or a socket: the one below the chroot directory, if there is such a thing there.
    func path(option: String) -> String? {
        guard let directory = chrootDirectory, let path = settings[option] ?? CyrusDefaults.paths[option], path.hasPrefix("/") else {
            return nil
        }
        // saslauthd_path may be the directory of the socket; existence is all that is asked here.
        let inside = directory + path
        return unsafe access(inside, F_OK) == 0 ? inside : nil
    }
}

/// What libsasl2 does where smtpd.conf says nothing.
enum CyrusDefaults {
    static let paths = ["saslauthd_path": "/var/run/saslauthd/mux", "sasldb_path": "/etc/sasldb2"]
}

let cyrusLogCallback: @convention(c) (UnsafeMutableRawPointer?, CInt, UnsafePointer<CChar>?) -> CInt = { context, level, message in
    guard let context = unsafe context, let message = unsafe message else { return SASL_BADPARAM }
    let text = unsafe String(cString: message)
    unsafe Unmanaged<CyrusContext>.fromOpaque(context).takeUnretainedValue().record(level: level, message: text)
    return SASL_OK
}

let cyrusGetoptCallback:
    @convention(c) (
        UnsafeMutableRawPointer?, UnsafePointer<CChar>?, UnsafePointer<CChar>?, UnsafeMutablePointer<UnsafePointer<CChar>?>?,
        UnsafeMutablePointer<UInt32>?
    ) -> CInt = { context, _, option, result, length in
        guard let context = unsafe context, let option = unsafe option, let result = unsafe result else { return SASL_BADPARAM }
        let state = unsafe Unmanaged<CyrusContext>.fromOpaque(context).takeUnretainedValue()
        guard let path = unsafe state.path(option: String(cString: option)), let kept = unsafe state.keep(path) else { return SASL_FAIL }
        unsafe result.pointee = unsafe kept
        unsafe length?.pointee = UInt32(path.utf8.count)
        return SASL_OK
    }

let cyrusConfigurationPathCallback: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt =
    {
        context,
        path in
        guard let context = unsafe context, let path = unsafe path else { return SASL_BADPARAM }
        // The library frees it.
        let copy = unsafe strdup(Unmanaged<CyrusContext>.fromOpaque(context).takeUnretainedValue().configurationPath)
        unsafe path.pointee = unsafe copy
        return unsafe copy == nil ? SASL_NOMEM : SASL_OK
    }
