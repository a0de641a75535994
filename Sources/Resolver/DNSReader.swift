internal import SMTPCore

/// Why bytes are not a DNS message; the text is for the log.
struct DNSFormatError: Error, Equatable {
    var reason: String
}

/// Reads the parts of a DNS message. Every read is checked: the bytes come from whoever managed to send us a packet.
struct DNSReader {
    let bytes: [UInt8]
    private(set) var offset = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func byte() throws(DNSFormatError) -> UInt8 {
        guard offset < bytes.count else { throw DNSFormatError(reason: "message is cut short") }
        defer { offset += 1 }
        return bytes[offset]
    }

    mutating func word() throws(DNSFormatError) -> UInt16 {
        UInt16(try byte()) << 8 | UInt16(try byte())
    }

    mutating func doubleWord() throws(DNSFormatError) -> UInt32 {
        UInt32(try word()) << 16 | UInt32(try word())
    }

    mutating func take(_ count: Int) throws(DNSFormatError) -> ArraySlice<UInt8> {
        guard count <= bytes.count - offset else { throw DNSFormatError(reason: "message is cut short") }
        defer { offset += count }
        return bytes[offset..<(offset + count)]
    }

    /// Reads a name, following compression pointers (RFC 1035 section 4.1.4).
    mutating func name() throws(DNSFormatError) -> DomainName {
        var wire: [UInt8] = []
        var position = offset
        // A pointer must lead to before everything read so far for this name, so a loop cannot be written down.
        var limit = offset
        var end: Int?
        var jumps = 0
        while true {
            guard position < bytes.count else { throw DNSFormatError(reason: "name is cut short") }
            let length = bytes[position]
            switch length >> 6 {
            case 0:
                let next = position + 1 + Int(length)
                guard next <= bytes.count else { throw DNSFormatError(reason: "label is cut short") }
                // The final zero is one more byte.
                guard wire.count + 1 + Int(length) <= (length == 0 ? 255 : 254) else { throw DNSFormatError(reason: "name is too long") }
                wire += bytes[position..<next]
                position = next
                if length == 0 {
                    offset = end ?? position
                    return DomainName(wire: wire)
                }
            case 3:
                guard position + 1 < bytes.count else { throw DNSFormatError(reason: "compression pointer is cut short") }
                let target = Int(length & 0x3F) << 8 | Int(bytes[position + 1])
                guard target < limit else { throw DNSFormatError(reason: "compression pointer does not lead backwards") }
                // A name has at most 127 labels; pointers to pointers could make each of thousands of records a walk through the message.
                jumps += 1
                guard jumps <= 127 else { throw DNSFormatError(reason: "too many compression pointers") }
                end = end ?? position + 2
                limit = target
                position = target
            default: throw DNSFormatError(reason: "unknown label type")
            }
        }
    }
}

extension DNSMessage {
    /// Decodes a whole message; throws on anything that is cut short or inconsistent.
    init(_ bytes: [UInt8]) throws(DNSFormatError) {
        guard bytes.count <= 65535 else { throw DNSFormatError(reason: "message is too long") }
        var reader = DNSReader(bytes)
        id = try reader.word()
        let flags = try reader.word()
        let questionCount = try reader.word()
        let answerCount = try reader.word()
        let authorityCount = try reader.word()
        let additionalCount = try reader.word()
        guard questionCount <= 1 else { throw DNSFormatError(reason: "more than one question") }
        isResponse = flags & 0x8000 != 0
        isAuthoritative = flags & 0x0400 != 0
        isTruncated = flags & 0x0200 != 0
        var code = flags & 0x000F
        if questionCount == 1 {
            let name = try reader.name()
            let type = RecordType(rawValue: try reader.word())
            question = try reader.word() == 1 ? DNSQuestion(name: name, type: type) : nil
        }
        answers = []
        authorities = []
        do {
            for _ in 0..<answerCount { if let record = try reader.record(extending: &code) { answers.append(record) } }
            for _ in 0..<authorityCount { if let record = try reader.record(extending: &code) { authorities.append(record) } }
            for _ in 0..<additionalCount { _ = try reader.record(extending: &code) }
        } catch {
            // A truncated message may end anywhere; what it says is asked again over TCP.
            guard isTruncated else { throw error }
        }
        responseCode = ResponseCode(rawValue: code)
    }
}

extension DNSReader {
    /// Reads a record; nil if its class is not IN. An OPT record adds its bits to `code`.
    fileprivate mutating func record(extending code: inout UInt16) throws(DNSFormatError) -> ResourceRecord? {
        let name = try name()
        let type = RecordType(rawValue: try word())
        let recordClass = try word()
        let timeToLive = try doubleWord()
        let length = Int(try word())
        let end = offset + length
        guard end <= bytes.count else { throw DNSFormatError(reason: "record is cut short") }
        if type == .opt { code |= UInt16(timeToLive >> 24) << 4 }
        guard recordClass == 1 else {
            _ = try take(length)
            return nil
        }
        let data = try data(of: type, length: length)
        guard offset == end else { throw DNSFormatError(reason: "\(type) record has the wrong length") }
        return ResourceRecord(name: name, type: type, timeToLive: timeToLive > UInt32(Int32.max) ? 0 : timeToLive, data: data)
    }

    private mutating func data(of type: RecordType, length: Int) throws(DNSFormatError) -> RecordData {
        switch type {
        case .a: return .address(.v4(try doubleWord()))
        case .aaaa:
            let high = UInt64(try doubleWord()) << 32 | UInt64(try doubleWord())
            return .address(.v6(high: high, low: UInt64(try doubleWord()) << 32 | UInt64(try doubleWord())))
        case .cname, .ptr: return .name(try name())
        case .mx: return .mailExchanger(preference: try word(), host: try name())
        case .txt: return .text(try characterStrings(length: length))
        case .soa:
            _ = try name()
            _ = try name()
            // Serial, refresh, retry, expire.
            _ = try take(16)
            return .startOfAuthority(minimum: try doubleWord())
        default:
            _ = try take(length)
            return .other
        }
    }

    private mutating func characterStrings(length: Int) throws(DNSFormatError) -> [UInt8] {
        let end = offset + length
        var text: [UInt8] = []
        while offset < end { text += try take(Int(try byte())) }
        return text
    }
}
