import Glibc

/// Why a file could not be read, worded for a message that names the file before it.
struct FileReadingError: Error, Hashable { let reason: String }

/// The whole of a small regular file. Blocking: for use while a context is being built, never on a loop.
func readSmallFile(_ path: String, limit: Int = 4 * 1024 * 1024) throws(FileReadingError) -> [UInt8] {
    // O_NONBLOCK: a FIFO in the place of a certificate must not hang the start.
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw FileReadingError(reason: errnoText(errno)) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw FileReadingError(reason: errnoText(errno)) }
    guard status.st_mode & S_IFMT == S_IFREG else {
        throw FileReadingError(reason: status.st_mode & S_IFMT == S_IFDIR ? "Is a directory" : "Not a regular file")
    }
    guard status.st_size <= limit else { throw FileReadingError(reason: "larger than \(limit) bytes") }
    var content: [UInt8] = []
    var failure: CInt = 0
    while content.count <= limit {
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: 65536) { buffer, count in
            let received = unsafe read(descriptor, buffer.baseAddress, buffer.count)
            if received < 0 { failure = errno }
            count = max(0, received)
        }
        if failure == EINTR {
            failure = 0
            continue
        }
        guard failure == 0 else { throw FileReadingError(reason: errnoText(failure)) }
        if chunk.isEmpty { return content }
        content += chunk
    }
    throw FileReadingError(reason: "larger than \(limit) bytes")
}

/// The names in a directory, sorted, without `.` and `..`.
func directoryEntries(_ path: String) throws(FileReadingError) -> [String] {
    guard let directory = unsafe opendir(path) else { throw FileReadingError(reason: errnoText(errno)) }
    defer { unsafe closedir(directory) }
    var names: [String] = []
    while let entry = unsafe readdir(directory) {
        let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
            unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
}
