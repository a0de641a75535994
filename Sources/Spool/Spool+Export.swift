import NIOCore
package import SMTPCore
import Synchronization

/// A message as it can be taken out of the queue, whatever is left of it.
package struct ExportedMessage: Sendable {
    package var id: QueueID
    package var state: QueueListing.State
    /// Seconds since 1970; nil when that cannot be read.
    package var arrival: Double?
    package var attempts: Int
    /// It has been reported that the message waits.
    package var isToldOfDelay = false
    /// nil when it cannot be read.
    package var envelope: Envelope?
    /// Places in the envelope of the recipients still to be served.
    package var pending: [Int]
    /// What is wrong with it.
    package var damages: [String]
    /// Unchecked where `damages` says so.
    package var content: any MessageContent
}

extension Spool {
    /// Reads a message for ``QueueExport``: also one in quarantine, and one whose content or envelope fails its checksum, with what is wrong
    /// said. Blocking. ``SpoolError/unknownQueueID(_:)`` if there is none.
    package func export(_ id: QueueID) throws(SpoolError) -> ExportedMessage {
        let found = core.engine.withLock { engine -> (StoredMessage?, (any SpoolFile, Int)?) in
            if let location = engine.index.quarantine[id], let segment = engine.journal.segment(location.segment) {
                return (nil, (segment.file, location.offset))
            }
            return (engine.stored(id), nil)
        }
        if let stored = found.0 { return try stored.exported() }
        if let (file, offset) = found.1 { return try StoredMessage.salvaged(id, file, offset, core) }
        throw .unknownQueueID(id)
    }
}

extension StoredMessage {
    fileprivate func exported() throws(SpoolError) -> ExportedMessage {
        let record: MessageRecord
        let content: any MessageContent
        do throws(SpoolError) { (record, content) = try read() } catch {
            // Not even the facts: what the disk holds in its place, as far as it can be understood.
            var message = try Self.salvage(id, baseFile, entry.base.offset, untouched: entry.isPoisonous, contentPath, fileSystem)
            message.damages.insert(error.description, at: 0)
            return message
        }
        var message = ExportedMessage(
            id: id,
            state: entry.isKept ? .hold : entry.isActive ? .active : .deferred,
            arrival: record.arrival,
            attempts: Int(record.state.attempts),
            envelope: record.envelope,
            pending: record.state.pending.map { Int($0.recipient) },
            damages: [],
            content: content
        )
        message.isToldOfDelay = record.state.isToldOfDelay
        message.checkContent(of: baseFile, entry.base, contentPath, fileSystem)
        return message
    }

    fileprivate static func salvaged(_ id: QueueID, _ file: any SpoolFile, _ offset: Int, _ core: SpoolCore) throws(SpoolError)
        -> ExportedMessage
    {
        try salvage(id, file, offset, untouched: false, core.paths.content(id), core.fileSystem)
    }

    /// A record whose head fails its checksum: its parts by their lengths, and the envelope if it can be parsed all the same.
    private static func salvage(
        _ id: QueueID,
        _ file: any SpoolFile,
        _ offset: Int,
        untouched: Bool,
        _ contentPath: String,
        _ fileSystem: any SpoolFileSystem
    ) throws(SpoolError) -> ExportedMessage {
        var message = ExportedMessage(
            id: id,
            state: .hold,
            attempts: 0,
            pending: [],
            damages: [],
            content: MemoryContent(bytes: ByteBuffer())
        )
        let header: RecordHeader
        let head: ByteBuffer
        do throws(FileSystemError) {
            guard let found = RecordHeader(parsing: try file.read(at: offset, length: RecordHeader.length)), found.id == id else {
                message.damages.append("the record is not where it should be")
                return message
            }
            header = found
            head = try file.read(at: offset + RecordHeader.length, length: Int(header.headLength))
        } catch {
            throw .fileSystem(error.description)
        }
        if !untouched, case .message(_, let record, _) = JournalFact(header, head: head) {
            message.arrival = record.arrival
            message.envelope = record.envelope
            message.pending = record.state.pending.map { Int($0.recipient) }
        }
        if crc32c(head) != header.headChecksum { message.damages.append("the envelope fails its checksum") }
        let base = RecordLocation(
            segment: 0,
            offset: offset,
            headLength: Int(header.headLength),
            bodyLength: Int(header.bodyLength)
        )
        message.content = SegmentContent(file: file, record: offset, header: header)
        if header.kind == .messageInFile { message.content = UncheckedContent(fileSystem, path: contentPath) }
        message.checkContent(of: file, base, contentPath, fileSystem)
        return message
    }
}

extension ExportedMessage {
    /// Reads all of the content once; where that fails, it is replaced by the bytes as they are.
    fileprivate mutating func checkContent(
        of file: any SpoolFile,
        _ base: RecordLocation,
        _ contentPath: String,
        _ fileSystem: any SpoolFileSystem
    ) {
        var offset = 0
        do {
            while offset < content.size {
                let part = try content.read(offset: offset, length: 1 << 20)
                guard part.readableBytes > 0 else { throw SpoolError.damaged("\(id): content ends early") }
                offset += part.readableBytes
            }
        } catch {
            damages.append("\(error)")
            let start = base.offset + RecordHeader.length + base.headLength
            content =
                content is FileContent
                ? UncheckedContent(fileSystem, path: contentPath) : UncheckedContent(file, offset: start, size: base.bodyLength)
        }
    }
}

/// Bytes as they are, for an administrator who wants to see what is left.
private final class UncheckedContent: MessageContent {
    private let file: (any SpoolFile)?
    private let start: Int
    let size: Int

    init(_ file: any SpoolFile, offset: Int, size: Int) {
        self.file = file
        start = offset
        self.size = max(0, min(size, ((try? file.size()) ?? 0) - offset))
    }

    /// A whole file; nothing if it is not there.
    init(_ fileSystem: any SpoolFileSystem, path: String) {
        file = try? fileSystem.open(path)
        start = 0
        size = (try? file?.size()) ?? 0
    }

    var inMemory: ByteBuffer? { nil }

    func read(offset: Int, length: Int) throws -> ByteBuffer {
        guard let file, offset >= 0, length > 0, offset < size else { return ByteBuffer() }
        return try file.read(at: start + offset, length: min(length, size - offset))
    }
}

/// The header lines that `postern queue export` puts before a message (Docs/spool.md, "Export").
package enum QueueExport {
    /// One line for each fact, CRLF line ends; what follows is the message itself.
    package static func header(_ message: ExportedMessage) -> String {
        var lines = ["X-Postern-Queue-ID: \(message.id)", "X-Postern-State: \(message.state.rawValue)"]
        if let arrival = message.arrival { lines.append("X-Postern-Arrival: \(Int(max(0, min(arrival, 1e15))))") }
        lines.append("X-Postern-Attempts: \(message.attempts)")
        if message.isToldOfDelay { lines.append("X-Postern-Delay-Reported: yes") }
        lines += message.damages.map { "X-Postern-Damage: \($0)" }
        guard let envelope = message.envelope else { return join(lines) }
        lines.append("X-Envelope-From: <\(envelope.sender)>")
        for (place, recipient) in envelope.recipients.enumerated() {
            let name = message.pending.contains(place) ? "X-Envelope-To" : "X-Envelope-Served"
            lines.append("\(name): <\(recipient.address)>")
            if let original = recipient.original { lines.append("\(name)-Original: <\(original)>") }
            if !recipient.notify.isEmpty { lines.append("\(name)-Notify: \(words(recipient.notify))") }
            if !recipient.declaredOriginal.isEmpty { lines.append("\(name)-ORCPT: \(recipient.declaredOriginal)") }
        }
        switch envelope.body {
        case .unspecified: break
        case .sevenBit: lines.append("X-Envelope-Body: 7BIT")
        case .eightBitMIME: lines.append("X-Envelope-Body: 8BITMIME")
        }
        if envelope.needsUTF8 { lines.append("X-Envelope-SMTPUTF8: yes") }
        switch envelope.returns {
        case .unspecified: break
        case .full: lines.append("X-Envelope-RET: FULL")
        case .headers: lines.append("X-Envelope-RET: HDRS")
        }
        if !envelope.envelopeID.isEmpty { lines.append("X-Envelope-ENVID: \(envelope.envelopeID)") }
        if let verp = envelope.verpDelimiters {
            lines.append("X-Envelope-XVERP: " + String(decoding: [verp.outer, verp.inner], as: UTF8.self))
        }
        if let filter = envelope.contentFilter { lines.append("X-Envelope-Content-Filter: \(filter)") }
        let origin = envelope.origin
        for (name, value) in [
            ("Client-Name", origin.clientName), ("Client-Address", origin.clientAddress), ("Helo", origin.heloName),
            ("Protocol", origin.protocolName), ("SASL-Method", origin.saslMethod), ("SASL-Username", origin.saslUsername),
        ] where !value.isEmpty {
            lines.append("X-Envelope-\(name): \(value)")
        }
        return join(lines)
    }

    private static func words(_ notify: NotifyConditions) -> String {
        let names: [(NotifyConditions, String)] = [(.never, "NEVER"), (.success, "SUCCESS"), (.failure, "FAILURE"), (.delay, "DELAY")]
        return names.filter { notify.contains($0.0) }.map(\.1).joined(separator: ",")
    }

    /// A value that held a line end could pretend to be another line.
    private static func join(_ lines: [String]) -> String { lines.map { QueueReport.printable($0) + "\r\n" }.joined() }
}
