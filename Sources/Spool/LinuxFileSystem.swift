import Glibc
import NIOCore

let outOfSpace = ENOSPC
let overQuota = EDQUOT
let inputOutputError = EIO

/// The words for an errno, as `perror` prints them.
func systemErrorText(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 128)
    // The XSI form of strerror_r is what Glibc's module shows; the GNU form would return a pointer that may not be into `buffer`.
    guard unsafe strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// The file system of this machine.
package struct LinuxFileSystem: SpoolFileSystem {
    package init() {}

    package func createDirectory(_ path: String) throws(FileSystemError) {
        if unsafe mkdir(path, 0o700) != 0, errno != EEXIST { throw failure("mkdir", path) }
    }

    package func list(_ path: String) throws(FileSystemError) -> [String] {
        guard let directory = unsafe opendir(path) else { throw failure("open directory", path) }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(directory) else {
                if errno != 0 { throw failure("read directory", path) }
                return names
            }
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    package func open(_ path: String) throws(FileSystemError) -> any SpoolFile {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard descriptor >= 0 else { throw failure("open", path) }
        return LinuxFile(descriptor, path)
    }

    package func create(_ path: String) throws(FileSystemError) -> any SpoolFile {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("create", path) }
        return LinuxFile(descriptor, path)
    }

    package func unlink(_ path: String) throws(FileSystemError) {
        if unsafe Glibc.unlink(path) != 0 { throw failure("unlink", path) }
    }

    package func syncDirectory(_ path: String) throws(FileSystemError) {
        let descriptor = unsafe Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("open directory", path) }
        defer { Glibc.close(descriptor) }
        if fsync(descriptor) != 0 { throw failure("fsync directory", path) }
    }

    package func freeSpace(_ path: String) throws(FileSystemError) -> UInt64 {
        var facts = statvfs()
        guard unsafe statvfs(path, &facts) == 0 else { throw failure("statvfs", path) }
        return UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize)).partialValue
    }

    package func lock(_ path: String) throws(FileSystemError) -> (any Sendable & AnyObject)? {
        let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("open", path) }
        let file = LinuxFile(descriptor, path)
        // flock, not fcntl: the lock belongs to this open file, so no other open and close in this process can drop it.
        if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return file }
        if errno == EWOULDBLOCK { return nil }
        throw failure("lock", path)
    }

    package func randomNumber() -> UInt64 { UInt64.random(in: 1...UInt64.max) }
}

private func failure(_ operation: String, _ path: String) -> FileSystemError {
    FileSystemError(operation: operation, path: path, code: errno)
}

private final class LinuxFile: SpoolFile {
    private let descriptor: Int32
    private let path: String

    init(_ descriptor: Int32, _ path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit { Glibc.close(descriptor) }

    func write(_ buffers: [ByteBuffer], at offset: Int) throws(FileSystemError) {
        var offset = offset
        // The kernel takes at most IOV_MAX (1024) pieces in one call.
        for start in stride(from: 0, to: buffers.count, by: 1_000) {
            try writeSome(buffers[start..<min(start + 1_000, buffers.count)], at: &offset)
        }
    }

    private func writeSome(_ buffers: ArraySlice<ByteBuffer>, at offset: inout Int) throws(FileSystemError) {
        let total = buffers.reduce(0) { $0 + $1.readableBytes }
        var done = 0
        while done < total {
            let (count, code) = unsafe withVectors(buffers, skipping: done) { vectors in
                let count = unsafe pwritev(descriptor, vectors.baseAddress, Int32(vectors.count), off_t(offset))
                return (count, errno)
            }
            if count < 0, code == EINTR { continue }
            // Nothing written and no error cannot happen on a regular file; treated as a failure, it cannot loop.
            guard count > 0 else { throw FileSystemError(operation: "write", path: path, code: count < 0 ? code : EIO) }
            done += count
            offset += count
        }
    }

    func read(at offset: Int, length: Int) throws(FileSystemError) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: max(length, 1))
        var code: Int32 = 0
        while buffer.readableBytes < length {
            let position = off_t(offset + buffer.readableBytes)
            let wanted = length - buffer.readableBytes
            let count = unsafe buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { space in
                let count = unsafe pread(descriptor, space.baseAddress, wanted, position)
                code = count < 0 ? errno : 0
                return max(count, 0)
            }
            if count > 0 { continue }
            if code == EINTR { continue }
            if code == 0 { break }
            throw FileSystemError(operation: "read", path: path, code: code)
        }
        return buffer
    }

    func sync() throws(FileSystemError) {
        if fdatasync(descriptor) != 0 { throw failure("fdatasync", path) }
    }

    func allocate(_ length: Int) throws(FileSystemError) {
        let code = posix_fallocate(descriptor, 0, off_t(length))
        if code != 0 { throw FileSystemError(operation: "allocate", path: path, code: code) }
    }

    func size() throws(FileSystemError) -> Int {
        var facts = stat()
        if unsafe fstat(descriptor, &facts) != 0 { throw failure("stat", path) }
        return Int(facts.st_size)
    }
}

/// Calls `body` with the buffers' bytes as I/O vectors, without the first `skipping` bytes.
private func withVectors<R>(_ buffers: ArraySlice<ByteBuffer>, skipping: Int, _ body: (UnsafeBufferPointer<iovec>) -> R) -> R {
    var vectors: [iovec] = unsafe []
    unsafe vectors.reserveCapacity(buffers.count)
    var skip = skipping
    for buffer in buffers {
        // The pointers outlive the closure, and stay valid because `buffers` keeps the storage alive and nobody writes to it until
        // `body` has returned.
        unsafe buffer.withUnsafeReadableBytes { bytes in
            if skip >= bytes.count {
                skip -= bytes.count
            } else {
                unsafe vectors.append(
                    iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + skip), iov_len: bytes.count - skip)
                )
                skip = 0
            }
        }
    }
    return withExtendedLifetime(buffers) { unsafe vectors.withUnsafeBufferPointer(body) }
}
