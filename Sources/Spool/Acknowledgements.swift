import NIOCore
import SMTPCore
import Synchronization

/// Damage that the administrator knows of, in `journal/NNNNNNNN.ack`. Each acknowledgement makes a file of its own, which is written once and
/// never changed: a line for each damage, `CHECKSUM TIME FILE OFFSET LENGTH ID WHAT`.
struct Acknowledgements: Sendable {
    struct Entry: Sendable, Hashable {
        /// Seconds since 1970.
        var time: Double
        var id: QueueID?
        var place: DamagePlace
    }

    private(set) var entries: [Entry] = []
    /// Never used twice, not even for a file that could not be written.
    private var nextNumber: UInt64 = 1

    init() {}

    /// Reads what is there; a line that fails its checksum acknowledges nothing.
    init(_ fileSystem: any SpoolFileSystem, directory: String) throws(FileSystemError) {
        for number in try fileSystem.list(directory).compactMap(Self.number).sorted() {
            nextNumber = number + 1
            let file = try fileSystem.open(Self.path(directory, number))
            let bytes = try file.read(at: 0, length: try file.size())
            entries += bytes.readableBytesView.split(separator: UInt8(ascii: "\n")).compactMap {
                Entry(line: String(decoding: $0, as: UTF8.self))
            }
        }
    }

    /// When damage of this kind at this place was acknowledged.
    func time(of place: DamagePlace) -> Double? { entries.first { $0.place.covers(place) }?.time }

    func covers(_ damage: SpoolDamage) -> Bool {
        if let place = damage.place { return time(of: place) != nil }
        guard let id = damage.id else { return false }
        return entries.contains { $0.id == id }
    }

    /// Makes the entries durable. Blocking.
    mutating func add(_ fresh: [Entry], _ fileSystem: any SpoolFileSystem, directory: String) throws(FileSystemError) {
        let path = Self.path(directory, nextNumber)
        nextNumber += 1
        var bytes = ByteBuffer()
        for entry in fresh { bytes.writeString(entry.line + "\n") }
        let file = try fileSystem.create(path)
        do throws(FileSystemError) {
            try file.write([bytes], at: 0)
            try file.sync()
            try fileSystem.syncDirectory(directory)
        } catch {
            try? fileSystem.unlink(path)
            throw error
        }
        entries += fresh
    }

    private static func path(_ directory: String, _ number: UInt64) -> String { "\(directory)/\(Journal.name(number, ".ack"))" }

    private static func number(_ name: String) -> UInt64? { Journal.number(name, ".ack") }
}

extension Acknowledgements.Entry {
    var line: String {
        let facts =
            "\(Int(clamping: Int64(max(0, min(time, 1e15))))) \(place.file) \(place.offset) \(place.length) \(id?.description ?? "-") \(place.what)"
        return "\(crc32c(ByteBuffer(string: facts))) \(facts)"
    }

    init?(line: String) {
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, UInt32(parts[0]) == crc32c(ByteBuffer(substring: parts[1])) else { return nil }
        let fields = parts[1].split(separator: " ", maxSplits: 5, omittingEmptySubsequences: false)
        guard fields.count == 6, let time = Int(fields[0]), let offset = Int(fields[2]), let length = Int(fields[3]) else { return nil }
        let id = QueueID(String(fields[4]))
        guard offset >= 0, length >= 0, id != nil || fields[4] == "-" else { return nil }
        self.time = Double(time)
        self.id = id
        place = DamagePlace(file: String(fields[1]), offset: offset, length: length, what: String(fields[5]))
    }
}

extension Spool {
    /// Verifies the queue, and notes durably that the administrator knows of all the damage that is found. From then on it is reported as
    /// known, and other damage as before. Nothing that is left of a message is given up by it. Blocking, as ``verify()`` is.
    package func acknowledgeDamage() throws(SpoolError) -> VerificationReport {
        var report = verify()
        let now = core.clock.wallTime()
        var fresh: [Acknowledgements.Entry] = []
        for index in report.damages.indices where report.damages[index].acknowledged == nil {
            report.damages[index].acknowledged = now
            fresh.append(.init(time: now, id: report.damages[index].id, place: report.damages[index].place))
        }
        guard !fresh.isEmpty else { return report }
        do throws(FileSystemError) {
            let known = try core.acknowledgements.withLock { list throws(FileSystemError) in
                try list.add(fresh, core.fileSystem, directory: core.paths.journal)
                return list
            }
            core.engine.withLock { $0.take(known) }
        } catch {
            throw .fileSystem(error.description)
        }
        for entry in fresh { core.observer.spoolEvent(.damageAcknowledged(entry.line)) }
        return report
    }
}

extension SpoolEngine {
    /// Damage that is acknowledged no longer keeps old segments from being deleted, unless a message that is still here is damaged.
    mutating func take(_ known: Acknowledgements) {
        acknowledgements = known
        for index in damages.indices where known.covers(damages[index]) { damages[index].isAcknowledged = true }
    }
}
