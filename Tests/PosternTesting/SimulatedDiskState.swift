import NIOCore
import Spool

/// SplitMix64: small, and the same everywhere.
package struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1 }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Inside of a ``SimulatedDisk``: what the cache shows, and what is on the platter.
struct SimulatedDiskState: Sendable {
    static let blockSize = 4_096

    struct Inode: Sendable {
        var bytes = ByteBuffer()
        var durable = ByteBuffer()
        /// Written and not flushed. A failed flush empties it without writing anything.
        var dirty: Set<Int> = []
        var allocated = 0
    }

    var random: SeededRandom
    var capacity: Int
    var inodes: [Int: Inode] = [:]
    var names: [String: Int] = [:]
    var durableNames: [String: Int] = [:]
    /// Changes of names not yet flushed, oldest first; nil for removed.
    var pendingNames: [(path: String, inode: Int?)] = []
    /// Those whose flush failed: the next one writes them only if there is another change in their directory.
    var cleanNames: [(path: String, inode: Int?)] = []
    var nextInode = 1
    var locks: Set<String> = []
    /// Files opened before the last restart are dead.
    var boot = 0

    var steps = 0
    var flushes = 0
    var writes = 0
    var stopAt: Int?
    var isStopped = false
    var failingFlushes: Set<Int> = []
    var failingWrites: Set<Int> = []
    var others = 0
    var failingOthers: Set<Int> = []
    var failures = 0
    var lies: SimulatedDisk.Lies = []

    init(seed: UInt64, capacity: Int) {
        random = SeededRandom(seed: seed)
        self.capacity = capacity
    }

    func list(_ directory: String) -> [String] {
        let prefix = directory + "/"
        return names.keys.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.utf8.count).contains("/") }
            .map { String($0.dropFirst(prefix.utf8.count)) }.sorted()
    }

    func file(at path: String) -> Inode? { names[path].flatMap { inodes[$0] } }

    /// Only named files count: the simulated process never relies on files without a name.
    var used: Int {
        names.values.reduce(0) { sum, inode in
            let size = max(inodes[inode]?.bytes.readableBytes ?? 0, inodes[inode]?.allocated ?? 0)
            return sum + (size + Self.blockSize - 1) / Self.blockSize * Self.blockSize
        }
    }

    /// Counts a step that is neither a write nor a flush; throws if the machine stops here, or if this one is to fail.
    mutating func step(_ operation: String, _ path: String) throws(FileSystemError) {
        try pass(operation, path)
        others += 1
        guard failingOthers.remove(others) != nil else { return }
        failures += 1
        throw FileSystemError(operation: operation, path: path, code: 5)
    }

    /// Counts a step; throws if the machine stops here.
    private mutating func pass(_ operation: String, _ path: String) throws(FileSystemError) {
        if isStopped { throw FileSystemError(operation: operation, path: path, code: 5) }
        steps += 1
        guard let stopAt, steps > stopAt else { return }
        isStopped = true
        // Names change at once or not at all, so stopping before and stopping after are both covered by neighbouring steps.
        throw FileSystemError(operation: operation, path: path, code: 5)
    }

    mutating func create(_ path: String) -> Int {
        let inode = nextInode
        nextInode += 1
        inodes[inode] = Inode()
        names[path] = inode
        change(path, inode)
        return inode
    }

    mutating func unlink(_ path: String) {
        names[path] = nil
        change(path, nil)
    }

    private mutating func change(_ path: String, _ inode: Int?) {
        pendingNames += cleanNames.filter { Self.directory($0.path) == Self.directory(path) }
        cleanNames.removeAll { Self.directory($0.path) == Self.directory(path) }
        pendingNames.append((path, inode))
    }

    mutating func lock(_ path: String) -> Bool {
        if names[path] == nil { _ = create(path) }
        return locks.insert(path).inserted
    }

    mutating func write(_ inode: Int, _ path: String, _ bytes: ByteBuffer, at offset: Int) throws(FileSystemError) {
        var bytes = bytes
        var error: FileSystemError?
        do throws(FileSystemError) {
            try pass("write", path)
        } catch let stopped {
            // Of the write during which the machine stopped, any part may have been done.
            guard let stopAt, steps == stopAt + 1 else { throw stopped }
            bytes.shorten(to: Int.random(in: 0...bytes.readableBytes, using: &random))
            self.stopAt = nil
            error = stopped
        }
        writes += 1
        if failingWrites.remove(writes) != nil {
            bytes.shorten(to: Int.random(in: 0...bytes.readableBytes, using: &random))
            failures += 1
            if !lies.contains(.failedWrites) { error = FileSystemError(operation: "write", path: path, code: 5) }
        }
        let growth = max(0, offset + bytes.readableBytes - (inodes[inode]?.bytes.readableBytes ?? 0))
        if growth > 0, used + growth > capacity {
            bytes.shorten(to: max(0, bytes.readableBytes - (used + growth - capacity)))
            failures += 1
            error = FileSystemError(operation: "write", path: path, code: 28)
        }
        put(inode, bytes, at: offset)
        if let error { throw error }
    }

    private mutating func put(_ inode: Int, _ bytes: ByteBuffer, at offset: Int) {
        guard bytes.readableBytes > 0, var file = inodes[inode] else { return }
        inodes[inode] = nil
        let end = offset + bytes.readableBytes
        file.bytes.lengthen(to: end)
        file.bytes.setBuffer(bytes, at: offset)
        file.dirty.formUnion(offset / Self.blockSize...(end - 1) / Self.blockSize)
        inodes[inode] = file
    }

    mutating func flush(_ inode: Int, _ path: String) throws(FileSystemError) {
        try pass("fdatasync", path)
        flushes += 1
        if failingFlushes.remove(flushes) != nil {
            // As Linux does it: the error is told once, and the pages count as clean.
            inodes[inode]?.dirty = []
            failures += 1
            if lies.contains(.failedFlushes) { return }
            throw FileSystemError(operation: "fdatasync", path: path, code: 5)
        }
        guard !lies.contains(.fileFlushes), var file = inodes[inode] else { return }
        inodes[inode] = nil
        for block in file.dirty { file.persist(block, limit: file.bytes.readableBytes) }
        file.dirty = []
        inodes[inode] = file
    }

    mutating func flushNames(_ directory: String) throws(FileSystemError) {
        try pass("fsync directory", directory)
        flushes += 1
        if failingFlushes.remove(flushes) != nil {
            // A directory is no better off than a file: what was to be flushed counts as clean, until another change makes it dirty again.
            cleanNames += pendingNames.filter { Self.directory($0.path) == directory }
            pendingNames.removeAll { Self.directory($0.path) == directory }
            failures += 1
            if lies.contains(.failedFlushes) { return }
            throw FileSystemError(operation: "fsync directory", path: directory, code: 5)
        }
        guard !lies.contains(.directoryFlushes) else { return }
        for change in pendingNames where Self.directory(change.path) == directory {
            if change.inode == nil, lies.contains(.removals), Int.random(in: 0..<3, using: &random) == 0 { continue }
            durableNames[change.path] = change.inode
        }
        pendingNames.removeAll { Self.directory($0.path) == directory }
    }

    private static func directory(_ path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }

    mutating func powerCut() {
        // For each name, some first part of its changes has happened.
        for path in Set(pendingNames.map(\.path)).sorted() {
            let changes = pendingNames.filter { $0.path == path }
            let kept = Int.random(in: 0...changes.count, using: &random)
            if kept > 0 { durableNames[path] = changes[kept - 1].inode }
        }
        pendingNames = []
        cleanNames = []
        names = durableNames
        for inode in inodes.keys.sorted() {
            guard var file = inodes[inode] else { continue }
            // The new length may or may not be there; blocks that were never written read as zeros.
            let new = file.bytes.readableBytes
            let old = file.durable.readableBytes
            let length = Bool.random(using: &random) ? new : Int.random(in: old...max(old, new), using: &random)
            for block in file.dirty.sorted() where Bool.random(using: &random) { file.persist(block, limit: length) }
            if Bool.random(using: &random) { file.durable.lengthen(to: length) }
            file.bytes = file.durable
            file.dirty = []
            inodes[inode] = file
        }
        let named = Set(names.values)
        inodes = inodes.filter { named.contains($0.key) }
        restart()
    }

    mutating func restart() {
        isStopped = false
        stopAt = nil
        failingFlushes = []
        failingWrites = []
        failingOthers = []
        locks = []
        boot += 1
    }
}

extension SimulatedDiskState.Inode {
    /// Puts one block of the cache on the platter, up to `limit` bytes of file.
    fileprivate mutating func persist(_ block: Int, limit: Int) {
        let start = block * SimulatedDiskState.blockSize
        let end = min(start + SimulatedDiskState.blockSize, bytes.readableBytes, limit)
        guard start < end, let part = bytes.getSlice(at: start, length: end - start) else { return }
        durable.lengthen(to: end)
        durable.setBuffer(part, at: start)
    }
}

extension ByteBuffer {
    fileprivate mutating func lengthen(to length: Int) {
        if readableBytes < length { writeRepeatingByte(0, count: length - readableBytes) }
    }

    fileprivate mutating func shorten(to length: Int) { moveWriterIndex(to: readerIndex + min(length, readableBytes)) }
}
