package import NIOCore

/// A failed operation, with its errno.
package struct FileSystemError: Error, Sendable, Hashable, CustomStringConvertible {
    package var operation: String
    package var path: String
    package var code: Int32

    package init(operation: String, path: String, code: Int32) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package var description: String { "\(operation) \(path): \(systemErrorText(code))" }

    /// The disk, or the quota, is full: ENOSPC, EDQUOT.
    package var isOutOfSpace: Bool { code == outOfSpace || code == overQuota }
}

/// The few operations the spool needs of a file system, so that tests run it on a simulated disk. All calls block.
package protocol SpoolFileSystem: Sendable {
    /// Creates the directory, mode 0700; nothing happens if it exists.
    func createDirectory(_ path: String) throws(FileSystemError)
    /// The names in a directory, without `.` and `..`, in any order.
    func list(_ path: String) throws(FileSystemError) -> [String]
    /// Opens a file that exists, for reading and writing.
    func open(_ path: String) throws(FileSystemError) -> any SpoolFile
    /// Creates a file, mode 0600, for reading and writing. It is an error if it exists.
    func create(_ path: String) throws(FileSystemError) -> any SpoolFile
    func unlink(_ path: String) throws(FileSystemError)
    /// Makes the creations and removals in a directory durable.
    func syncDirectory(_ path: String) throws(FileSystemError)
    /// Bytes that this process may still use.
    func freeSpace(_ path: String) throws(FileSystemError) -> UInt64
    /// Takes an exclusive lock, creating the file if need be; nil when another process has it. Given back when the value goes away.
    func lock(_ path: String) throws(FileSystemError) -> (any Sendable & AnyObject)?
    /// A number nobody can guess.
    func randomNumber() -> UInt64
}

/// An open file; closed when the last reference goes.
package protocol SpoolFile: AnyObject, Sendable {
    /// Writes all of it, or throws. After a throw any part may have been written.
    func write(_ buffers: [ByteBuffer], at offset: Int) throws(FileSystemError)
    /// Fewer bytes than asked for only at the end of the file.
    func read(at offset: Int, length: Int) throws(FileSystemError) -> ByteBuffer
    /// Makes content and length durable (`fdatasync`). A failure is never followed by a retry on the same file.
    func sync() throws(FileSystemError)
    /// Reserves blocks for the first `length` bytes, so that writing them cannot run out of space.
    func allocate(_ length: Int) throws(FileSystemError)
    func size() throws(FileSystemError) -> Int
}
