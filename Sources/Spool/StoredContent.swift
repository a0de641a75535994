import NIOCore
import SMTPCore
import Synchronization

/// Content that has not left memory since it was accepted.
struct MemoryContent: MessageContent {
    let bytes: ByteBuffer
    var size: Int { bytes.readableBytes }
    var inMemory: ByteBuffer? { bytes }

    func read(offset: Int, length: Int) throws -> ByteBuffer { bytes.part(offset: offset, length: length) }
}

extension ByteBuffer {
    /// The bytes from `offset`, as many as there are, up to `length`.
    fileprivate func part(offset: Int, length: Int) -> ByteBuffer {
        guard offset >= 0, length > 0, offset < readableBytes else { return ByteBuffer() }
        return getSlice(at: readerIndex + offset, length: min(length, readableBytes - offset)) ?? ByteBuffer()
    }
}

/// Runs `body`, and tells `onDamage` why it failed, if it did.
private func reporting<R>(to onDamage: (@Sendable (SpoolError) -> Void)?, _ id: QueueID, _ body: () throws -> R) throws -> R {
    do { return try body() } catch {
        onDamage?(error as? SpoolError ?? .damaged("\(id): \(error)"))
        throw error
    }
}

/// Content inside a journal record. Holds the segment open, so that it can be read even after compaction has moved the message.
final class SegmentContent: MessageContent {
    private let file: any SpoolFile
    private let offset: Int
    private let header: RecordHeader
    /// The whole body once it was read and checked: it is small.
    private let checked = Mutex<ByteBuffer?>(nil)

    private let onDamage: (@Sendable (SpoolError) -> Void)?

    init(file: any SpoolFile, record offset: Int, header: RecordHeader, onDamage: (@Sendable (SpoolError) -> Void)? = nil) {
        self.file = file
        self.offset = offset
        self.header = header
        self.onDamage = onDamage
    }

    var size: Int { Int(header.bodyLength) }
    var inMemory: ByteBuffer? { nil }

    func read(offset: Int, length: Int) throws -> ByteBuffer { try whole().part(offset: offset, length: length) }

    /// All of it, checked.
    func whole() throws -> ByteBuffer {
        try reporting(to: onDamage, header.id) { try WorkPlace.during(header.id) { try wholeMarked() } }
    }

    private func wholeMarked() throws -> ByteBuffer {
        if let body = checked.withLock({ $0 }) { return body }
        let body = try file.read(at: self.offset + RecordHeader.length + Int(header.headLength), length: size)
        guard body.readableBytes == size, crc32c(body) == header.bodyChecksum else {
            throw SpoolError.damaged("\(header.id): content fails its checksum")
        }
        checked.withLock { $0 = body }
        return body
    }
}

/// Content in a file of its own, checked block by block.
final class FileContent: MessageContent {
    let size: Int
    private let id: QueueID
    private let path: String
    private let fileSystem: any SpoolFileSystem
    private let checksums: [UInt32]
    private let onDamage: (@Sendable (SpoolError) -> Void)?
    private let file = Mutex<(any SpoolFile)?>(nil)

    init(
        id: QueueID,
        path: String,
        fileSystem: any SpoolFileSystem,
        size: Int,
        checksums: [UInt32],
        onDamage: (@Sendable (SpoolError) -> Void)? = nil
    ) {
        self.id = id
        self.path = path
        self.fileSystem = fileSystem
        self.size = size
        self.checksums = checksums
        self.onDamage = onDamage
    }

    var inMemory: ByteBuffer? { nil }

    func read(offset: Int, length: Int) throws -> ByteBuffer {
        try reporting(to: onDamage, id) { try WorkPlace.during(id) { try readMarked(offset: offset, length: length) } }
    }

    private func readMarked(offset: Int, length: Int) throws -> ByteBuffer {
        guard offset >= 0, length > 0, offset < size else { return ByteBuffer() }
        let end = offset + min(length, size - offset)
        let file = try opened()
        let first = offset / MessageRecord.blockLength
        let last = (end - 1) / MessageRecord.blockLength
        let start = first * MessageRecord.blockLength
        let bytes = try file.read(at: start, length: min((last + 1) * MessageRecord.blockLength, size) - start)
        for block in first...last {
            let blockStart = block * MessageRecord.blockLength - start
            let blockLength = min(MessageRecord.blockLength, size - block * MessageRecord.blockLength)
            guard let slice = bytes.getSlice(at: bytes.readerIndex + blockStart, length: blockLength), block < checksums.count,
                crc32c(slice) == checksums[block]
            else { throw SpoolError.damaged("\(id): content file fails its checksum at block \(block)") }
        }
        return bytes.part(offset: offset - start, length: end - offset)
    }

    private func opened() throws -> any SpoolFile {
        try file.withLock { file in
            if let file { return file }
            let opened = try fileSystem.open(path)
            file = opened
            return opened
        }
    }
}
