import NIOCore
import SMTPCore

/// Reads the journal from the disk: what the queue is, and where writing goes on.
struct Replay {
    var index = QueueIndex()
    var segments: [Journal.Segment] = []
    var nextNumber: UInt64 = 1
    var nextBatch: UInt64 = 1
    var lastChecksum: UInt32 = 0
    /// The latest time that any batch carries.
    var newestTime: Double = 0
    /// Each place that cannot be read.
    var damages: [SpoolDamage] = []
    /// Which of them the administrator knows of.
    var acknowledgements = Acknowledgements()
    /// What the administrator may want to know, and nothing depends on.
    var notes: [String] = []
    /// The wall clock after it was last seen to jump; 0 if it never was.
    var clockSet: Double = 0
    /// What the last segment's index will begin with; nil when it must not get one.
    var lastIndex: SegmentIndex?
    /// Files that came to nothing: no segment names them and they hold no batch that counts.
    var voidFiles: [String] = []

    private struct Found {
        var number: UInt64
        var header: SegmentHeader
        var file: any SpoolFile
        var sealedAt: Int?
        var indexLength = 0
        var indexChecksum: UInt32 = 0
    }

    init(_ fileSystem: any SpoolFileSystem, directory: String) throws(SpoolError) {
        do throws(FileSystemError) {
            // First, so that no name seen here can be undone by a power cut after it has been acted on.
            try fileSystem.syncDirectory(directory)
            let numbers = try fileSystem.list(directory).compactMap(Journal.number).sorted()
            if let last = numbers.last { nextNumber = last + 1 }
            var found = try headers(fileSystem, directory, numbers)
            // Reading makes the last batch durable, so it begins only when all is known.
            if unsupported == nil { try read(&found, fileSystem, directory) }
        } catch {
            throw .fileSystem(error.description)
        }
        if let newer = unsupported { throw .unsupportedFormat("\(directory) has format \(newer), this is \(SegmentHeader.version)") }
    }

    private mutating func read(
        _ found: inout [Found],
        _ fileSystem: any SpoolFileSystem,
        _ directory: String
    ) throws(FileSystemError) {
        chain(&found, directory)
        for segment in found { try read(segment) }
        forgetHarmlessDamages()
        acknowledgements = try Acknowledgements(fileSystem, directory: directory)
        for index in damages.indices { damages[index].isAcknowledged = acknowledgements.covers(damages[index]) }
    }

    private var unsupported: UInt32?

    private mutating func headers(
        _ fileSystem: any SpoolFileSystem,
        _ directory: String,
        _ numbers: [UInt64]
    ) throws(FileSystemError) -> [Found] {
        var found: [Found] = []
        for number in numbers {
            let path = "\(directory)/\(Journal.name(number))"
            let file = try fileSystem.open(path)
            switch SegmentHeader.parse(try file.read(at: 0, length: SegmentHeader.length)) {
            case .header(let header) where header.number == number:
                found.append(Found(number: number, header: header, file: file))
            case .version(let version):
                unsupported = version
            case .header, .invalid:
                // The header is flushed before anything follows it, so a file that ends here never held a batch.
                if try file.size() <= SegmentHeader.length {
                    voidFiles.append(path)
                } else {
                    noteDamage(segment: number, "segment header is unreadable", "\(path): segment header is unreadable")
                }
            }
        }
        return found
    }

    /// Leaves the segments that count, oldest first, each with its end.
    private mutating func chain(_ found: inout [Found], _ directory: String) {
        var kept: [Found] = []
        var rest = found[...]
        var successor: SegmentHeader?
        while let last = rest.popLast() {
            var segment = last
            guard let next = successor else {
                kept.append(segment)
                successor = segment.header
                continue
            }
            if segment.number == next.previousNumber {
                segment.sealedAt = Int(clamping: next.previousEnd)
                segment.indexLength = Int(clamping: next.previousIndexLength)
                segment.indexChecksum = next.previousIndexChecksum
            } else if segment.number > next.previousNumber {
                // Begun after the one that `next` names and given up before a batch was written to it.
                voidFiles.append("\(directory)/\(Journal.name(segment.number))")
                continue
            } else if (try? segment.file.size()) ?? Int.max <= SegmentHeader.length {
                // Given up as well, and could not be removed. Its successors have since gone in order.
                voidFiles.append("\(directory)/\(Journal.name(segment.number))")
                continue
            } else {
                let path = "\(directory)/\(Journal.name(next.previousNumber))"
                noteDamage(segment: next.previousNumber, "segment is missing", "\(path): segment is missing")
                segment.sealedAt = (try? segment.file.size()) ?? 0
            }
            kept.append(segment)
            successor = segment.header
        }
        found = kept.reversed()
    }

    private mutating func read(_ segment: Found) throws(FileSystemError) {
        // A process that begins a segment has not ended.
        index.endedCleanly = false
        index.queueIDLimit = max(index.queueIDLimit, segment.header.queueIDLimit)
        newestTime = max(newestTime, segment.header.created)
        clockSet = max(clockSet, segment.header.clockSet)
        if let sealedAt = segment.sealedAt, segment.indexLength > 0 {
            if try readIndex(segment, end: sealedAt) { return }
            notes.append("\(Journal.name(segment.number)): its index is unreadable, the segment is read instead")
        }
        let bytes = try segment.file.read(at: 0, length: try segment.file.size())
        let scan = SegmentScan(bytes, header: segment.header, sealedAt: segment.sealedAt)
        let facts = take(scan, segment)
        if segment.sealedAt == nil {
            try confirm(bytes, scan, segment)
            if scan.damages.isEmpty { lastIndex = facts }
        }
        segments.append(Journal.Segment(number: segment.number, file: segment.file, end: scan.end))
        nextBatch = scan.nextBatch
        lastChecksum = scan.lastChecksum
        guard scan.isTorn else { return }
        index.endedCleanly = false
        notes.append(
            "\(Journal.name(segment.number)): an unfinished batch of \(bytes.readableBytes - scan.end) bytes at its end was cut; "
                + "nobody had been told that it was stored"
        )
    }

    /// The queue as the index at the end of a sealed segment tells it; whether it could be read.
    private mutating func readIndex(_ segment: Found, end: Int) throws(FileSystemError) -> Bool {
        let bytes = try segment.file.read(at: end, length: min(segment.indexLength, SegmentIndex.lengthLimit))
        let newest = SegmentIndex.parse(bytes, checksum: segment.indexChecksum, segment: segment.number, end: end) { _ = index.apply($0) }
        guard let newest else { return false }
        newestTime = max(newestTime, newest)
        segments.append(
            Journal.Segment(
                number: segment.number,
                file: segment.file,
                end: end,
                indexLength: segment.indexLength,
                indexChecksum: segment.indexChecksum
            )
        )
        return true
    }

    /// Lets what was found come true, in the order of the records.
    private mutating func take(_ scan: SegmentScan, _ segment: Found) -> SegmentIndex {
        var facts = SegmentIndex()
        facts.newestTime = scan.newestTime
        newestTime = max(newestTime, scan.newestTime)
        var damages = scan.damages[...]
        func note(upTo offset: Int) {
            while let damage = damages.first, damage.offset <= offset {
                take(damage, segment)
                damages.removeFirst()
            }
        }
        for record in scan.records {
            let location = RecordLocation(
                segment: segment.number,
                offset: record.offset,
                headLength: Int(record.header.headLength),
                bodyLength: Int(record.header.bodyLength)
            )
            record.fact.forEachIndexFact(at: location) { fact in
                facts.append(fact)
                _ = index.apply(fact)
            }
            note(upTo: record.offset)
        }
        note(upTo: .max)
        return facts
    }

    /// Damage to a segment as a whole.
    private mutating func noteDamage(segment: UInt64, _ what: String, _ text: String) {
        damages.append(SpoolDamage(text, place: DamagePlace(segment: segment, offset: 0, length: 0, what: what)))
    }

    private mutating func take(_ damage: SegmentScan.Damage, _ segment: Found) {
        let text = "\(Journal.name(segment.number)): \(damage.what) (\(damage.length) bytes at \(damage.offset))"
        let place = DamagePlace(segment: segment.number, offset: damage.offset, length: damage.length, what: damage.what)
        damages.append(SpoolDamage(text, id: damage.id, place: place))
        guard let id = damage.id else { return }
        switch damage.remains {
        case .nothing: break
        case .envelope: index.update(id) { $0.isUnreadable = true }
        case .acceptedID:
            let location = RecordLocation(
                segment: segment.number,
                offset: damage.offset,
                headLength: 0,
                bodyLength: damage.length - RecordHeader.length
            )
            index.putInQuarantine(id, at: location)
        }
    }

    /// Makes the last batch durable. The process that wrote it may have ended before its flush, or after a flush that failed: then the
    /// pages count as clean, and another flush alone would do nothing. So the same bytes are written to the same place once more.
    /// All batches before it were flushed, since only one is written at a time.
    private func confirm(_ bytes: ByteBuffer, _ scan: SegmentScan, _ segment: Found) throws(FileSystemError) {
        let header = segment.header.length
        for (start, end) in [(0, header), (max(scan.lastBatch, header), scan.end)] where start < end {
            guard let part = bytes.getSlice(at: bytes.readerIndex + start, length: end - start) else { continue }
            try segment.file.write([part], at: start)
        }
        try segment.file.sync()
    }

    /// Damage to messages that the journal later says are finished, or of which it holds another copy, is none.
    private mutating func forgetHarmlessDamages() {
        damages.removeAll { damage in damage.id.map { index[$0]?.isUnreadable != true && index.quarantine[$0] == nil } ?? false }
    }
}
