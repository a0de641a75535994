import Glibc

/// Client counters on their way from one generation to the next: one datagram each.
enum Snapshots {
    /// Bytes of the largest one.
    static let limit = 64 * 1024

    /// Does not wait: a snapshot that finds no room is left out. False when the reader has gone.
    static func send(_ bytes: [UInt8], to descriptor: CInt) -> Bool {
        let count = unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL) | CInt(MSG_DONTWAIT))
        }
        return count >= 0 || errno == EAGAIN || errno == EMSGSIZE
    }

    /// One snapshot that is waiting; nil at the end.
    static func receive(from descriptor: CInt) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT)) }
        return count > 0 ? Array(bytes[..<count]) : nil
    }
}
