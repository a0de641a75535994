import NIOCore
package import SMTPCore
import Synchronization

/// What a look at every byte of the queue came to.
package struct VerificationReport: Sendable, Hashable {
    package struct Damage: Sendable, Hashable {
        /// A segment or content file, relative to the queue directory.
        package var file: String
        package var offset: Int
        package var length: Int
        /// The message it is about, where that can still be told.
        package var id: QueueID?
        package var what: String
        /// When the administrator acknowledged it, in seconds since 1970.
        package var acknowledged: Double?

        package init(file: String, offset: Int, length: Int, id: QueueID? = nil, what: String) {
            self.file = file
            self.offset = offset
            self.length = length
            self.id = id
            self.what = what
        }

        var place: DamagePlace { DamagePlace(file: file, offset: offset, length: length, what: what) }
    }

    package var segments = 0
    package var indexes = 0
    package var records = 0
    /// Messages in the queue, and those of them that have a file of their own.
    package var messages = 0
    package var contentFiles = 0
    /// Bytes read.
    package var bytes = 0
    package var damages: [Damage] = []
    /// There is no damage that the administrator does not know of.
    package var isSound: Bool { damages.allSatisfy { $0.acknowledged != nil } }

    package init() {}
}

extension Spool {
    /// Reads every record, every index and the content of every message from the disk, and compares all checksums. The queue goes on
    /// meanwhile: what is written later is not looked at, what is removed meanwhile is not missed. Blocking, for as long as reading takes.
    package func verify() -> VerificationReport {
        var report = VerificationReport()
        let (segments, known) = core.engine.withLock { ($0.journal.segments, $0.damages) }
        for segment in segments { verify(segment, &report) }
        verifyMessages(&report)
        for damage in known where !report.shows(damage) {
            let place = damage.place ?? DamagePlace(file: "journal", offset: 0, length: 0, what: damage.text)
            report.damages.append(.init(file: place.file, offset: place.offset, length: place.length, id: damage.id, what: place.what))
        }
        let acknowledgements = core.acknowledgements.withLock { $0 }
        for index in report.damages.indices { report.damages[index].acknowledged = acknowledgements.time(of: report.damages[index].place) }
        return report
    }

    private func verify(_ segment: Journal.Segment, _ report: inout VerificationReport) {
        let name = "journal/\(Journal.name(segment.number))"
        func note(_ offset: Int, _ length: Int, _ what: String, _ id: QueueID? = nil) {
            report.damages.append(.init(file: name, offset: offset, length: length, id: id, what: what))
        }
        report.segments += 1
        do throws(FileSystemError) {
            let bytes = try segment.file.read(at: 0, length: segment.end)
            report.bytes += bytes.readableBytes
            guard case .header(let header) = SegmentHeader.parse(bytes), header.number == segment.number else {
                return note(0, SegmentHeader.length, "segment header is unreadable")
            }
            let scan = SegmentScan(bytes, header: header, sealedAt: segment.end)
            report.records += scan.records.count
            for damage in scan.damages { note(damage.offset, damage.length, damage.what, damage.id) }
            guard segment.indexLength > 0 else { return }
            let index = try segment.file.read(at: segment.end, length: segment.indexLength)
            report.bytes += index.readableBytes
            report.indexes += 1
            if SegmentIndex.parse(index, checksum: segment.indexChecksum, segment: segment.number, end: segment.end, { _ in }) == nil {
                note(segment.end, segment.indexLength, "index is unreadable (the segment itself tells the same)")
            }
        } catch {
            note(0, segment.end, error.description)
        }
    }

    /// Whether each message can be read by way of the queue, and its content file, if it has one.
    private func verifyMessages(_ report: inout VerificationReport) {
        var last: QueueID?
        while true {
            let page = core.engine.withLock { engine in
                engine.index.entries.ids(after: last, limit: 1_000).map { ($0, engine.stored($0)) }
            }
            guard let end = page.last else { return }
            last = end.0
            for (id, stored) in page {
                report.messages += 1
                if let stored {
                    verify(stored, &report)
                } else {
                    report.damages.append(.init(file: "journal", offset: 0, length: 0, id: id, what: "its segment is missing"))
                }
            }
        }
    }

    private func verify(_ stored: StoredMessage, _ report: inout VerificationReport) {
        let base = stored.entry.base
        func note(_ file: String, _ offset: Int, _ length: Int, _ error: any Error) {
            // Delivered while we were reading: nothing is wrong.
            guard core.engine.withLock({ $0.index[stored.id] }) != nil else { return }
            let known = report.damages.contains { $0.id == stored.id && $0.offset == offset }
            if !known { report.damages.append(.init(file: file, offset: offset, length: length, id: stored.id, what: "\(error)")) }
        }
        let content: any MessageContent
        do throws(SpoolError) { content = try stored.read().content } catch {
            return note("journal/\(Journal.name(base.segment))", base.offset, base.length, error)
        }
        // The others have been read with their segments.
        guard stored.entry.isInFile else { return }
        report.contentFiles += 1
        var offset = 0
        while offset < content.size {
            let length = min(MessageRecord.blockLength, content.size - offset)
            do {
                report.bytes += try content.read(offset: offset, length: length).readableBytes
            } catch {
                note("content/\(stored.id)", offset, length, error)
            }
            offset += length
        }
    }
}

extension VerificationReport {
    /// Files that are missing or were not recognised at the start, and what could not be read when a message was wanted and can be read now,
    /// are not among what has just been read.
    fileprivate func shows(_ known: SpoolDamage) -> Bool {
        damages.contains { damage in
            if let id = known.id, damage.id == id { return true }
            return known.place.map { damage.file == $0.file && damage.offset == $0.offset } ?? false
        }
    }
}
