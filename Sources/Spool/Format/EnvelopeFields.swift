import NIOCore
import SMTPCore

// What came into the envelope after the first version of the format (SMTPUTF8, RFC 3461, XVERP) is announced by bits that were always
// zero, and left out where there is nothing to say: a record of before reads as it always did, and ordinary mail takes no byte more.

extension ByteBuffer {
    /// Set in the byte of the body type: fields of the extensions follow.
    private static let extended: UInt8 = 0x80
    /// Set in the same byte: `content_filter` follows, after these.
    private static let filtered: UInt8 = 0x40
    /// Set in the byte that tells whether a recipient has an original address: fields of RFC 3461 follow.
    private static let hasRequests: UInt8 = 0x02

    mutating func writeEnvelopeHead(_ envelope: Envelope) {
        let isPlain =
            !envelope.needsUTF8 && envelope.returns == .unspecified && envelope.envelopeID.isEmpty && envelope.verpDelimiters == nil
        writeField(envelope.body.rawValue | (isPlain ? 0 : Self.extended) | (envelope.contentFilter == nil ? 0 : Self.filtered))
        if !isPlain { writeExtensions(envelope) }
        guard let filter = envelope.contentFilter else { return }
        writeField(filter.transport)
        writeField(filter.nextHop)
    }

    private mutating func writeExtensions(_ envelope: Envelope) {
        writeField(envelope.needsUTF8)
        writeField(envelope.returns.rawValue)
        writeField(envelope.envelopeID)
        writeField(envelope.verpDelimiters?.outer ?? 0)
        writeField(envelope.verpDelimiters?.inner ?? 0)
    }

    /// An envelope without sender, recipients and origin, which come after.
    mutating func readEnvelopeHead() -> Envelope? {
        guard let byte: UInt8 = readField(), let body = BodyType(rawValue: byte & ~(Self.extended | Self.filtered)) else { return nil }
        var envelope = Envelope(sender: .null, recipients: [], body: body)
        if byte & Self.extended != 0, !readExtensions(of: &envelope) { return nil }
        guard byte & Self.filtered != 0 else { return envelope }
        guard let transport = readText(), let nextHop = readText() else { return nil }
        envelope.contentFilter = ContentFilter(transport: transport, nextHop: nextHop)
        return envelope
    }

    private mutating func readExtensions(of envelope: inout Envelope) -> Bool {
        guard let needsUTF8 = readFlag(), let returnsByte: UInt8 = readField(), let returns = ReturnedContent(rawValue: returnsByte),
            let envelopeID = readText(), let outer: UInt8 = readField(), let inner: UInt8 = readField()
        else { return false }
        envelope.needsUTF8 = needsUTF8
        envelope.returns = returns
        envelope.envelopeID = envelopeID
        envelope.verpDelimiters = outer == 0 ? nil : VERPDelimiters(outer: outer, inner: inner)
        return true
    }

    /// All of a recipient but its address.
    mutating func writeRecipientRest(_ recipient: Recipient) {
        let isPlain = recipient.notify.isEmpty && recipient.declaredOriginal.isEmpty
        writeField(UInt8(recipient.original == nil ? 0 : 1) | (isPlain ? 0 : Self.hasRequests))
        if let original = recipient.original { writeField(original) }
        guard !isPlain else { return }
        writeField(recipient.notify.rawValue)
        writeField(recipient.declaredOriginal)
    }

    mutating func readRecipient() -> Recipient? {
        guard let address = readAddress(), let flags: UInt8 = readField(), flags <= 3 else { return nil }
        var recipient = Recipient(address: address)
        if flags & 1 != 0 {
            guard let original = readAddress() else { return nil }
            recipient.original = original
        }
        guard flags & Self.hasRequests != 0 else { return recipient }
        guard let notify: UInt8 = readField(), let declaredOriginal = readText() else { return nil }
        recipient.notify = NotifyConditions(rawValue: notify)
        recipient.declaredOriginal = declaredOriginal
        return recipient.notify.isValid ? recipient : nil
    }
}
