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
    /// One line for each place that cannot be read.
    var damages: [String] = []
    /// Files that came to nothing: no segment names them and they hold no batch that counts.
    var voidFiles: [String] = []

    private struct Found {
        var number: UInt64
        var header: SegmentHeader
        var file: any SpoolFile
        var sealedAt: Int?
    }

    init(_ fileSystem: any SpoolFileSystem, directory: String) throws(SpoolError) {
        do throws(FileSystemError) {
            // First, so that no name seen here can be undone by a power cut after it has been acted on.
            try fileSystem.syncDirectory(directory)
            let numbers = try fileSystem.list(directory).compactMap(Journal.number).sorted()
            if let last = numbers.last { nextNumber = last + 1 }
            var found = try headers(fileSystem, directory, numbers)
            chain(&found, directory)
            for segment in found { try read(segment) }
        } catch {
            throw .fileSystem(error.description)
        }
        if let newer = unsupported { throw .unsupportedFormat("\(directory) has format \(newer), this is \(SegmentHeader.version)") }
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
                    damages.append("\(path): segment header is unreadable")
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
            } else if segment.number > next.previousNumber {
                // Begun after the one that `next` names and given up before a batch was written to it.
                voidFiles.append("\(directory)/\(Journal.name(segment.number))")
                continue
            } else {
                damages.append("\(directory)/\(Journal.name(next.previousNumber)): segment is missing")
                segment.sealedAt = (try? segment.file.size()) ?? 0
            }
            kept.append(segment)
            successor = segment.header
        }
        found = kept.reversed()
    }

    private mutating func read(_ segment: Found) throws(FileSystemError) {
        let bytes = try segment.file.read(at: 0, length: try segment.file.size())
        let scan = SegmentScan(bytes, header: segment.header, sealedAt: segment.sealedAt)
        index.queueIDLimit = max(index.queueIDLimit, segment.header.queueIDLimit)
        for record in scan.records {
            let location = RecordLocation(
                segment: segment.number,
                offset: record.offset,
                headLength: Int(record.header.headLength),
                bodyLength: Int(record.header.bodyLength)
            )
            _ = index.apply(record.fact, at: location)
        }
        for damage in scan.damages {
            damages.append("\(Journal.name(segment.number)): \(damage.what) (\(damage.length) bytes at \(damage.offset))")
        }
        if segment.sealedAt == nil { try confirm(bytes, scan, segment.file) }
        segments.append(Journal.Segment(number: segment.number, file: segment.file, end: scan.end))
        nextBatch = scan.nextBatch
        lastChecksum = scan.lastChecksum
        newestTime = max(newestTime, scan.newestTime)
        if scan.isTorn { index.endedCleanly = false }
    }

    /// Makes the last batch durable. The process that wrote it may have ended before its flush, or after a flush that failed: then the
    /// pages count as clean, and another flush alone would do nothing. So the same bytes are written to the same place once more.
    /// All batches before it were flushed, since only one is written at a time.
    private func confirm(_ bytes: ByteBuffer, _ scan: SegmentScan, _ file: any SpoolFile) throws(FileSystemError) {
        for (start, end) in [(0, SegmentHeader.length), (max(scan.lastBatch, SegmentHeader.length), scan.end)] where start < end {
            guard let part = bytes.getSlice(at: bytes.readerIndex + start, length: end - start) else { continue }
            try file.write([part], at: start)
        }
        try file.sync()
    }
}
