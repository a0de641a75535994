/// Cuts a stream of bytes into lines, and overwrites what has been cut off: it held passwords.
package struct AuthLineBuffer {
    /// The peer sent a line longer than the limit.
    package struct LineTooLong: Error {}

    private var bytes: [UInt8] = []
    /// How much of `bytes` has been searched for a line's end, in vain.
    private var searched = 0
    private let limit: Int

    package init(limit: Int = AuthProtocol.maximumLine) { self.limit = limit }

    package mutating func append(_ more: some Collection<UInt8>) {
        if bytes.capacity - bytes.count < more.count {
            // Growing an array frees the old storage as it is; move by hand, so that it can be wiped first.
            var larger: [UInt8] = []
            larger.reserveCapacity(max(4096, (bytes.count + more.count) * 2))
            larger += bytes
            wipe(&bytes)
            bytes = larger
        }
        bytes += more
    }

    /// The next complete line without its LF, or nil until there is one.
    package mutating func next() throws(LineTooLong) -> [UInt8]? {
        guard let end = bytes[searched...].firstIndex(of: 0x0A) else {
            if bytes.count > limit { throw LineTooLong() }
            searched = bytes.count
            return nil
        }
        if end > limit { throw LineTooLong() }
        let line = Array(bytes[..<end])
        let rest = bytes.count - end - 1
        for index in 0..<rest { bytes[index] = bytes[end + 1 + index] }
        for index in rest..<bytes.count { bytes[index] = 0 }
        bytes.removeLast(end + 1)
        searched = 0
        return line
    }
}
