import CLinux
import NIOCore
import SMTPCore

/// Which messages the process was working on when it failed: a page in `journal/CRASH` that a fault handler writes into (it survives the
/// process, not necessarily a power cut) and the next start reads. A message that is there twice is not tried again.
struct CrashRecord {
    static let length = 4_096
    static let magic: UInt64 = 0x3153_5243_5453_4F50  // "POSTCRS1", read as little-endian
    /// Two words, written by the handler: the message, and place << 32 | signal.
    static let crashOffset = 16
    private static let listOffset = 32
    private static let listLimit = (length - listOffset) / 16

    struct Entry: Sendable, Hashable {
        var count: UInt32
        /// The spool itself failed over it: its record is not to be looked at again.
        var isInJournal: Bool
    }

    private(set) var entries: [QueueID: Entry] = [:]
    /// The last process failed: what it worked on, and the signal.
    private(set) var last: (id: QueueID, signal: Int)?
    private let fileSystem: any SpoolFileSystem
    private let path: String

    /// Reads what is there and counts the last crash. A record that cannot be read counts nothing: it is a safeguard, not a promise.
    init(_ fileSystem: any SpoolFileSystem, path: String) {
        self.fileSystem = fileSystem
        self.path = path
        guard let file = try? fileSystem.open(path), let bytes = try? file.read(at: 0, length: Self.length) else { return }
        read(bytes)
        if last != nil { try? save() }
    }

    private mutating func read(_ all: ByteBuffer) {
        var bytes = all
        guard all.readableBytes == Self.length, bytes.readField(UInt64.self) == Self.magic, bytes.readField(UInt64.self) != nil,
            let id: UInt64 = bytes.readField(), let cause: UInt64 = bytes.readField()
        else { return }
        for _ in 0..<Self.listLimit {
            guard let id: UInt64 = bytes.readField(), let count: UInt32 = bytes.readField(), let place: UInt32 = bytes.readField(), id != 0
            else { break }
            entries[QueueID(rawValue: id)] = Entry(count: min(count, 1_000), isInJournal: place == WorkPlace.journal)
        }
        guard id != 0 else { return }
        let crashed = QueueID(rawValue: id)
        last = (crashed, Int(cause & 0xFF))
        entries[crashed, default: Entry(count: 0, isInJournal: false)].count += 1
        if cause >> 32 == WorkPlace.journal { entries[crashed]?.isInJournal = true }
    }

    /// Forgets every message that is not wanted any more.
    mutating func keep(where isWanted: (QueueID) -> Bool) {
        let kept = entries.filter { isWanted($0.key) }
        guard kept.count != entries.count else { return }
        entries = kept
        try? save()
    }

    /// Has the handler write here from now on.
    mutating func watch() throws(SpoolError) {
        do throws(FileSystemError) { try save() } catch { throw .fileSystem(error.description) }
        let code = unsafe postern_watch_crashes(path, Self.crashOffset)
        guard code == 0 else { throw .fileSystem("\(path): \(systemErrorText(code))") }
    }

    private func save() throws(FileSystemError) {
        var out = ByteBufferAllocator().buffer(capacity: Self.length)
        out.writeField(Self.magic)
        for _ in 0..<3 { out.writeField(UInt64(0)) }
        // Those that failed most often, if there is not room for all.
        for (id, entry) in entries.sorted(by: { ($0.value.count, $0.key) > ($1.value.count, $1.key) }).prefix(Self.listLimit) {
            out.writeField(id.rawValue)
            out.writeField(entry.count)
            out.writeField(entry.isInJournal ? UInt32(WorkPlace.journal) : UInt32(0))
        }
        out.writeRepeatingByte(0, count: Self.length - out.readableBytes)
        let exists = try? fileSystem.open(path)
        let file = if let exists { exists } else { try fileSystem.create(path) }
        // In place: the page may be mapped.
        try file.write([out], at: 0)
        try file.sync()
    }
}

/// Says which message a thread of the spool is working on; the relay has its own way (`WorkMark`).
enum WorkPlace {
    static let journal: UInt64 = 2

    static func during<R, E: Error>(_ id: QueueID, _ body: () throws(E) -> R) throws(E) -> R {
        let place = postern_work_place()
        let previous = postern_work_on(id.rawValue, journal)
        defer { _ = postern_work_on(previous, place) }
        return try body()
    }
}
