import NIOCore
import SMTPCore

/// A message as it can be found on the disk: enough to read it without asking the queue again.
struct StoredMessage: Sendable {
    var id: QueueID
    var entry: QueueEntry
    var baseFile: any SpoolFile
    var outcomeFile: (any SpoolFile)?
    var contentPath: String
    var fileSystem: any SpoolFileSystem

    /// The message with its present state, content not yet touched. Blocking.
    /// - Parameter onDamage: hears of content that fails its checksum, or is not there, when it is read.
    func read(
        onDamage: (@Sendable (SpoolError) -> Void)? = nil
    ) throws(SpoolError) -> (record: MessageRecord, content: any MessageContent) {
        // The process has failed over these very bytes, more than once.
        if entry.isPoisonous, entry.isUnreadable { throw .damaged("\(id): not read, as the queue role has ended over it twice") }
        return try WorkPlace.during(id) { () throws(SpoolError) in try readMarked(onDamage) }
    }

    private func readMarked(
        _ onDamage: (@Sendable (SpoolError) -> Void)?
    ) throws(SpoolError) -> (record: MessageRecord, content: any MessageContent) {
        let (header, base) = try fact(at: entry.base, in: baseFile)
        var record: MessageRecord
        switch base {
        case .message(id, let message, _): record = message
        case .outcome(_, _, .some(let bounce)) where bounce.id == id: record = bounce.message
        default: throw .damaged("\(id): the journal holds something else in its place")
        }
        if let location = entry.outcome, let outcomeFile {
            guard case (_, .outcome(id, let state, _)) = try fact(at: location, in: outcomeFile),
                state.pending.allSatisfy({ $0.recipient < record.envelope.recipients.count })
            else { throw .damaged("\(id): the journal holds something else in the place of its outcome") }
            record.state = state
        }
        record.isHeld = entry.isHeld
        guard entry.isInFile else {
            return (record, SegmentContent(file: baseFile, record: entry.base.offset, header: header, onDamage: onDamage))
        }
        let content = FileContent(
            id: id,
            path: contentPath,
            fileSystem: fileSystem,
            size: Int(clamping: record.contentSize),
            checksums: record.blockChecksums,
            onDamage: onDamage
        )
        return (record, content)
    }

    /// The record again, as it is now, with a higher generation, to be written at the end of the journal. Blocking.
    func copiedForward() throws(SpoolError) -> (EncodedRecord, JournalFact) {
        try WorkPlace.during(id) { () throws(SpoolError) in try copiedForwardMarked() }
    }

    private func copiedForwardMarked() throws(SpoolError) -> (EncodedRecord, JournalFact) {
        var (record, content) = try read()
        record.generation &+= 1
        // The record that said so goes with the old segment.
        if entry.isHurried { record.state.nextAttempt = 0 }
        let fact = JournalFact.message(id, record, isInFile: entry.isInFile)
        guard let content = content as? SegmentContent else { return (fact.encoded(), fact) }
        do {
            return (fact.encoded(body: try content.whole()), fact)
        } catch {
            throw .damaged("\(id): \(error)")
        }
    }

    private func fact(at location: RecordLocation, in file: any SpoolFile) throws(SpoolError) -> (RecordHeader, JournalFact) {
        let bytes: ByteBuffer
        do throws(FileSystemError) {
            bytes = try file.read(at: location.offset, length: RecordHeader.length + location.headLength)
        } catch {
            throw .damaged("\(id): \(error)")
        }
        guard let header = RecordHeader(parsing: bytes), Int(header.headLength) == location.headLength,
            let head = bytes.getSlice(at: bytes.readerIndex + RecordHeader.length, length: location.headLength),
            crc32c(head) == header.headChecksum, let fact = JournalFact(header, head: head)
        else { throw .damaged("\(id): its journal record fails its checksum") }
        return (header, fact)
    }
}
