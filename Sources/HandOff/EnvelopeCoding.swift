package import NIOCore
package import SMTPCore

extension Envelope {
    private enum Flags {
        static let needsUTF8: UInt8 = 1
        static let isHeld: UInt8 = 2
        static let isFiltered: UInt8 = 4
        static let all: UInt8 = 7
    }

    /// Strings are a 32-bit length and UTF-8; a missing domain is the length `UInt32.max`.
    package func encode(into out: inout ByteBuffer) {
        out.writeInteger(body.rawValue)
        out.writeInteger((needsUTF8 ? Flags.needsUTF8 : 0) | (isHeld ? Flags.isHeld : 0) | (contentFilter == nil ? 0 : Flags.isFiltered))
        out.writeInteger(returns.rawValue)
        out.writeText(envelopeID)
        out.writeInteger(verpDelimiters?.outer ?? 0)
        out.writeInteger(verpDelimiters?.inner ?? 0)
        if let contentFilter {
            out.writeText(contentFilter.transport)
            out.writeText(contentFilter.nextHop)
        }
        out.writeAddress(sender)
        for text in [
            origin.clientName, origin.clientAddress, origin.heloName, origin.protocolName, origin.saslMethod, origin.saslUsername,
        ] { out.writeText(text) }
        out.writeInteger(UInt32(recipients.count))
        for recipient in recipients {
            out.writeAddress(recipient.address)
            out.writeInteger(UInt8(recipient.original == nil ? 0 : 1))
            if let original = recipient.original { out.writeAddress(original) }
            out.writeInteger(recipient.notify.rawValue)
            out.writeText(recipient.declaredOriginal)
        }
    }

    package init(from input: inout ByteBuffer) throws(MalformedFrame) {
        guard let code: UInt8 = input.readInteger(), let body = BodyType(rawValue: code) else { throw MalformedFrame() }
        guard let flags: UInt8 = input.readInteger(), flags <= Flags.all, let returnsCode: UInt8 = input.readInteger(),
            let returns = ReturnedContent(rawValue: returnsCode)
        else { throw MalformedFrame() }
        let envelopeID = try input.readText()
        guard let outer: UInt8 = input.readInteger(), let inner: UInt8 = input.readInteger() else { throw MalformedFrame() }
        var contentFilter: ContentFilter?
        if flags & Flags.isFiltered != 0 {
            let transport = try input.readText()
            contentFilter = ContentFilter(transport: transport, nextHop: try input.readText())
        }
        let sender = try input.readAddress()
        var origin = MessageOrigin()
        origin.clientName = try input.readText()
        origin.clientAddress = try input.readText()
        origin.heloName = try input.readText()
        origin.protocolName = try input.readText()
        origin.saslMethod = try input.readText()
        origin.saslUsername = try input.readText()
        // The smallest recipient takes fourteen bytes: a count beyond that is a lie, and must not make us reserve memory.
        guard let count: UInt32 = input.readInteger(), Int(count) <= input.readableBytes / 14 else { throw MalformedFrame() }
        var recipients: [Recipient] = []
        recipients.reserveCapacity(Int(count))
        for _ in 0..<count {
            let address = try input.readAddress()
            guard let flag: UInt8 = input.readInteger() else { throw MalformedFrame() }
            var recipient = Recipient(address: address, original: flag == 0 ? nil : try input.readAddress())
            guard let notify: UInt8 = input.readInteger() else { throw MalformedFrame() }
            recipient.notify = NotifyConditions(rawValue: notify)
            guard recipient.notify.isValid else { throw MalformedFrame() }
            recipient.declaredOriginal = try input.readText()
            recipients.append(recipient)
        }
        self.init(sender: sender, recipients: recipients, body: body, origin: origin)
        needsUTF8 = flags & Flags.needsUTF8 != 0
        isHeld = flags & Flags.isHeld != 0
        self.contentFilter = contentFilter
        self.returns = returns
        self.envelopeID = envelopeID
        verpDelimiters = outer == 0 ? nil : VERPDelimiters(outer: outer, inner: inner)
    }
}

extension Recipient {
    /// Bytes in a frame.
    package var encodedLength: Int {
        func length(_ address: Address) -> Int { 8 + address.localPart.utf8.count + (address.domain?.utf8.count ?? 0) }
        return length(address) + (original.map(length) ?? 0) + 6 + declaredOriginal.utf8.count
    }
}

extension Envelope {
    /// About what it takes in a frame, and in memory.
    var encodedLength: Int {
        let origin = [
            origin.clientName, origin.clientAddress, origin.heloName, origin.protocolName, origin.saslMethod, origin.saslUsername,
        ]
        let texts = origin.reduce(envelopeID.utf8.count + sender.localPart.utf8.count + (sender.domain?.utf8.count ?? 0)) {
            $0 + $1.utf8.count
        }
        return recipients.reduce(64 + texts) { $0 + $1.encodedLength }
    }

    /// Whether what ends up in a command or a report stays on its line. Every parser of this server sees to that; a smtpd role in other hands
    /// need not have used them.
    var staysOnItsLine: Bool {
        if let verpDelimiters {
            guard [verpDelimiters.outer, verpDelimiters.inner].allSatisfy({ (0x21...0x7E).contains($0) }) else { return false }
        }
        if let contentFilter, !Self.staysOnItsLine(contentFilter.description) { return false }
        return Self.staysOnItsLine(envelopeID) && Self.staysOnItsLine(sender)
            && recipients.allSatisfy { recipient in
                Self.staysOnItsLine(recipient.address) && recipient.original.map(Self.staysOnItsLine) ?? true
                    && Self.staysOnItsLine(recipient.declaredOriginal)
            }
    }

    private static func staysOnItsLine(_ address: Address) -> Bool {
        staysOnItsLine(address.localPart) && address.domain.map(staysOnItsLine) ?? true
    }

    private static func staysOnItsLine(_ text: String) -> Bool { text.utf8.allSatisfy { $0 != 13 && $0 != 10 && $0 != 0 } }
}

extension ByteBuffer {
    fileprivate mutating func writeText(_ text: String) {
        let at = writerIndex
        writeInteger(UInt32(0))
        let count = writeString(text)
        setInteger(UInt32(count), at: at)
    }

    fileprivate mutating func writeAddress(_ address: Address) {
        writeText(address.localPart)
        if let domain = address.domain { writeText(domain) } else { writeInteger(UInt32.max) }
    }

    fileprivate mutating func readText() throws(MalformedFrame) -> String {
        guard let length: UInt32 = readInteger(), Int(length) <= readableBytes, let text = readString(length: Int(length)) else {
            throw MalformedFrame()
        }
        return text
    }

    fileprivate mutating func readAddress() throws(MalformedFrame) -> Address {
        let localPart = try readText()
        if getInteger(at: readerIndex, as: UInt32.self) == UInt32.max {
            moveReaderIndex(forwardBy: 4)
            return Address(localPart: localPart, domain: nil)
        }
        return Address(localPart: localPart, domain: try readText())
    }
}
