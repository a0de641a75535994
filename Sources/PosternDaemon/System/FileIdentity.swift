import Glibc

/// What stat(2) says of a file: enough to know another content by.
struct FileIdentity: Sendable, Hashable {
    private var exists = false
    private var device: UInt64 = 0
    private var inode: UInt64 = 0
    private var size: Int64 = 0
    private var seconds = 0
    private var nanoseconds = 0

    init(_ path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return }
        exists = true
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }

    var text: String { exists ? "\(device):\(inode):\(size):\(seconds).\(nanoseconds)" : "-" }

    static func isRegularFile(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }
}
