package import NIOCore
package import Spool
import Synchronization

/// A disk that forgets what was not flushed, in blocks of 4 KiB, and fails on command. The same seed and the same calls give the same
/// disk.
///
/// Every operation is a step. A test can have the machine stop at any step: that step happens partly or not at all, all later ones fail,
/// and ``powerCut()`` or ``processCrash()`` decides what is left.
package final class SimulatedDisk: SpoolFileSystem {
    private let state: Mutex<SimulatedDiskState>

    package init(seed: UInt64, capacity: Int = 1 << 30) { state = Mutex(SimulatedDiskState(seed: seed, capacity: capacity)) }

    // MARK: Faults

    /// Steps made so far.
    package var steps: Int { state.withLock { $0.steps } }
    /// The machine has stopped; see ``stop(afterSteps:)``.
    package var isStopped: Bool { state.withLock { $0.isStopped } }
    /// The machine stops during the step after that many more; nil for never.
    package func stop(afterSteps steps: Int?) { state.withLock { state in state.stopAt = steps.map { state.steps + $0 } } }
    /// The flush after that many more fails once, and drops what it should have written; the next one succeeds without it.
    package func failFlush(after count: Int) { state.withLock { state in _ = state.failingFlushes.insert(state.flushes + count + 1) } }
    /// The write after that many more fails in the middle, with EIO.
    package func failWrite(after count: Int) { state.withLock { state in _ = state.failingWrites.insert(state.writes + count + 1) } }
    /// The next operation but that many which is neither a write nor a flush fails once, with EIO.
    package func failOther(after count: Int) { state.withLock { state in _ = state.failingOthers.insert(state.others + count + 1) } }
    /// Operations that failed on command, or for want of space, since the disk was made.
    package var failures: Int { state.withLock { $0.failures } }

    /// What a disk may say without doing it. For showing that a test notices.
    package struct Lies: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        /// Flushes of files work without making anything durable.
        package static let fileFlushes = Self(rawValue: 1)
        /// The same for directories.
        package static let directoryFlushes = Self(rawValue: 2)
        /// A flush that fails says that it worked.
        package static let failedFlushes = Self(rawValue: 4)
        /// A write that fails in the middle says that it worked.
        package static let failedWrites = Self(rawValue: 8)
        /// A file that was removed durably comes back with the power, once in a while.
        package static let removals = Self(rawValue: 16)
    }
    package var lies: Lies {
        get { state.withLock { $0.lies } }
        set { state.withLock { $0.lies = newValue } }
    }

    /// Bytes the disk can hold.
    package var capacity: Int {
        get { state.withLock { $0.capacity } }
        set { state.withLock { $0.capacity = newValue } }
    }

    /// Everything not flushed is kept or lost, block by block and name by name. Open files are of no use afterwards.
    package func powerCut() { state.withLock { $0.powerCut() } }
    /// The process ended: what it wrote is still in the cache, and may be lost later.
    package func processCrash() { state.withLock { $0.restart() } }

    /// Bytes that files take.
    package var used: Int { state.withLock { $0.used } }
    /// Names of the files in a directory.
    package func names(in directory: String) -> [String] { state.withLock { $0.list(directory) } }
    /// What a reader would find, for tests that damage it.
    package func contents(_ path: String) -> ByteBuffer? { state.withLock { $0.file(at: path)?.bytes } }
    /// Changes bytes behind everyone's back, as a rotting disk would.
    package func corrupt(_ path: String, at offset: Int, with bytes: [UInt8]) {
        state.withLock { state in
            guard let inode = state.names[path], var file = state.inodes[inode], offset + bytes.count <= file.durable.readableBytes else {
                return
            }
            file.bytes.setBytes(bytes, at: offset)
            file.durable.setBytes(bytes, at: offset)
            state.inodes[inode] = file
        }
    }

    // MARK: SpoolFileSystem

    package func createDirectory(_ path: String) throws(FileSystemError) {
        // Directories are part of the set-up and are not simulated.
        try state.withLock { state throws(FileSystemError) in try state.step("mkdir", path) }
    }

    package func list(_ path: String) throws(FileSystemError) -> [String] {
        try state.withLock { state throws(FileSystemError) in
            try state.step("list", path)
            return state.list(path)
        }
    }

    package func open(_ path: String) throws(FileSystemError) -> any SpoolFile {
        try state.withLock { state throws(FileSystemError) in
            try state.step("open", path)
            guard let inode = state.names[path] else { throw FileSystemError(operation: "open", path: path, code: 2) }
            return SimulatedFile(self, inode, state.boot, path)
        }
    }

    package func create(_ path: String) throws(FileSystemError) -> any SpoolFile {
        try state.withLock { state throws(FileSystemError) in
            try state.step("create", path)
            guard state.names[path] == nil else { throw FileSystemError(operation: "create", path: path, code: 17) }
            return SimulatedFile(self, state.create(path), state.boot, path)
        }
    }

    package func unlink(_ path: String) throws(FileSystemError) {
        try state.withLock { state throws(FileSystemError) in
            try state.step("unlink", path)
            guard state.names[path] != nil else { throw FileSystemError(operation: "unlink", path: path, code: 2) }
            state.unlink(path)
        }
    }

    package func syncDirectory(_ path: String) throws(FileSystemError) {
        try state.withLock { state throws(FileSystemError) in
            try state.flushNames(path)
        }
    }

    package func freeSpace(_ path: String) throws(FileSystemError) -> UInt64 {
        try state.withLock { state throws(FileSystemError) in
            try state.step("statvfs", path)
            return UInt64(max(state.capacity - state.used, 0))
        }
    }

    package func lock(_ path: String) throws(FileSystemError) -> (any Sendable & AnyObject)? {
        try state.withLock { state throws(FileSystemError) in
            try state.step("lock", path)
            guard state.lock(path) else { return nil }
            return SimulatedLock(self, path, state.boot)
        }
    }

    package func randomNumber() -> UInt64 { state.withLock { $0.random.next() | 1 } }

    fileprivate func unlock(_ path: String, boot: Int) {
        state.withLock { state in
            if state.boot == boot { state.locks.remove(path) }
        }
    }

    fileprivate func perform<R: Sendable>(
        _ operation: String,
        _ file: SimulatedFile,
        _ body: @Sendable (inout SimulatedDiskState) throws(FileSystemError) -> R
    ) throws(FileSystemError) -> R {
        try state.withLock { state throws(FileSystemError) in
            guard state.boot == file.boot else { throw FileSystemError(operation: operation, path: file.path, code: 5) }
            if operation != "write", operation != "fdatasync" { try state.step(operation, file.path) }
            return try body(&state)
        }
    }
}

private final class SimulatedLock: Sendable {
    let disk: SimulatedDisk
    let path: String
    let boot: Int

    init(_ disk: SimulatedDisk, _ path: String, _ boot: Int) {
        self.disk = disk
        self.path = path
        self.boot = boot
    }

    deinit { disk.unlock(path, boot: boot) }
}

private final class SimulatedFile: SpoolFile {
    let disk: SimulatedDisk
    let inode: Int
    let boot: Int
    let path: String

    init(_ disk: SimulatedDisk, _ inode: Int, _ boot: Int, _ path: String) {
        self.disk = disk
        self.inode = inode
        self.boot = boot
        self.path = path
    }

    func write(_ buffers: [ByteBuffer], at offset: Int) throws(FileSystemError) {
        var bytes = ByteBuffer()
        for buffer in buffers { bytes.writeImmutableBuffer(buffer) }
        let all = bytes
        try disk.perform("write", self) { state throws(FileSystemError) in try state.write(inode, path, all, at: offset) }
    }

    func read(at offset: Int, length: Int) throws(FileSystemError) -> ByteBuffer {
        try disk.perform("read", self) { state throws(FileSystemError) in
            let bytes = state.inodes[inode]?.bytes ?? ByteBuffer()
            guard offset < bytes.readableBytes, length > 0 else { return ByteBuffer() }
            return bytes.getSlice(at: offset, length: min(length, bytes.readableBytes - offset)) ?? ByteBuffer()
        }
    }

    func sync() throws(FileSystemError) {
        try disk.perform("fdatasync", self) { state throws(FileSystemError) in try state.flush(inode, path) }
    }

    func allocate(_ length: Int) throws(FileSystemError) {
        try disk.perform("allocate", self) { state throws(FileSystemError) in
            guard state.used + length <= state.capacity else {
                state.failures += 1
                throw FileSystemError(operation: "allocate", path: path, code: 28)
            }
            state.inodes[inode]?.allocated = length
        }
    }

    func size() throws(FileSystemError) -> Int {
        try disk.perform("stat", self) { state throws(FileSystemError) in state.inodes[inode]?.bytes.readableBytes ?? 0 }
    }
}
