import Glibc

/// The commands' side, which may wait.
extension UnixSocket {
    /// Connects to `path`; throws `ENOENT` or `ECONNREFUSED` when nobody serves it.
    /// - Parameter seconds: for the connection, which a process that takes none keeps waiting, and for each read and write.
    static func connect(to path: String, seconds: Int) throws(SystemError) -> CInt {
        let descriptor = try make()
        setTimeLimits(descriptor, seconds: seconds)
        guard unsafe try withAddress(path, { unsafe Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let error = SystemError("connecting to \(path)")
            close(descriptor)
            throw error
        }
        return descriptor
    }

    /// Everything up to the end, or to the time limit.
    static func readAll(from descriptor: CInt) -> String {
        var all: [UInt8] = []
        while case let bytes = read(from: descriptor), !bytes.isEmpty { all += bytes }
        return String(decoding: all, as: UTF8.self)
    }

    static func setTimeLimits(_ descriptor: CInt, seconds: Int) {
        var limit = timeval(tv_sec: seconds, tv_usec: 0)
        let size = socklen_t(MemoryLayout<timeval>.size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, size)
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, size)
    }

    /// Writes all of `text`; false when the other side is gone or slower than the time limit.
    static func write(_ text: String, to descriptor: CInt) -> Bool { write(text.utf8, to: descriptor) }

    /// The same for bytes.
    static func write(_ bytes: some Sequence<UInt8>, to descriptor: CInt) -> Bool {
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return false }
        }
        return true
    }
}
