import NIOCore
import SMTPCore

/// What changes about a message while it is in the queue.
struct DeliveryState: Sendable, Hashable {
    /// A recipient still to be served, by its place in the envelope as accepted.
    struct Pending: Sendable, Hashable {
        var recipient: UInt32
        /// Why the last attempt failed; empty before the first one.
        var reason: String
    }

    /// At most 2,147,483,647.
    var attempts: UInt32
    /// Seconds since 1970.
    var nextAttempt: Double
    var pending: [Pending]
    /// The sender, or the postmaster, has been told that it waits; that is done once.
    var isToldOfDelay = false

    /// Set in the number of attempts, where it was always zero before there were such reports.
    private static let toldOfDelay: UInt32 = 0x8000_0000

    var isDone: Bool { pending.isEmpty }

    func encode(into out: inout ByteBuffer) {
        out.writeField(min(attempts, Self.toldOfDelay - 1) | (isToldOfDelay ? Self.toldOfDelay : 0))
        out.writeField(nextAttempt)
        out.writeField(UInt32(truncatingIfNeeded: pending.count))
        for entry in pending {
            out.writeField(entry.recipient)
            out.writeField(entry.reason)
        }
    }

    init?(parsing bytes: inout ByteBuffer) {
        guard let attempts: UInt32 = bytes.readField(), let nextAttempt = bytes.readDouble(),
            let pending = bytes.readList({ bytes -> Pending? in
                guard let recipient: UInt32 = bytes.readField(), let reason = bytes.readText() else { return nil }
                return Pending(recipient: recipient, reason: reason)
            })
        else { return nil }
        self.init(
            attempts: attempts & ~Self.toldOfDelay,
            nextAttempt: nextAttempt,
            pending: pending,
            isToldOfDelay: attempts & Self.toldOfDelay != 0
        )
    }

    init(attempts: UInt32, nextAttempt: Double, pending: [Pending], isToldOfDelay: Bool = false) {
        self.attempts = attempts
        self.nextAttempt = nextAttempt
        self.pending = pending
        self.isToldOfDelay = isToldOfDelay
    }

    /// A message no one has tried to deliver yet: due at once, whatever the clock is set to.
    init(newMessageWith recipients: Int) {
        self.init(
            attempts: 0,
            nextAttempt: 0,
            pending: (0..<recipients).map { Pending(recipient: UInt32(truncatingIfNeeded: $0), reason: "") }
        )
    }
}

/// The head of a message record: everything about a message but its content. Written at the accept, and again, with a higher
/// generation, when the message is copied forward.
struct MessageRecord: Sendable, Hashable {
    var generation: UInt32
    var arrival: Double
    var envelope: Envelope
    var contentSize: UInt64
    /// CRC-32C of each ``blockLength`` bytes of a content file; empty when the content is the record's body.
    var blockChecksums: [UInt32]
    var isHeld: Bool
    /// As it was when the record was written; the outcomes that follow in the journal replace it.
    var state: DeliveryState

    static let blockLength = 65_536

    func encoded() -> ByteBuffer {
        var out = ByteBufferAllocator().buffer(capacity: 256)
        encode(into: &out)
        return out
    }

    func encode(into out: inout ByteBuffer) {
        out.writeField(generation)
        out.writeField(arrival)
        out.writeField(contentSize)
        out.writeField(isHeld)
        out.writeEnvelopeHead(envelope)
        out.writeField(envelope.sender)
        let origin = envelope.origin
        for text in [
            origin.clientName, origin.clientAddress, origin.heloName, origin.protocolName, origin.saslMethod, origin.saslUsername,
        ] {
            out.writeField(text)
        }
        out.writeField(UInt32(truncatingIfNeeded: envelope.recipients.count))
        for recipient in envelope.recipients {
            out.writeField(recipient.address)
            out.writeRecipientRest(recipient)
        }
        out.writeField(UInt32(truncatingIfNeeded: blockChecksums.count))
        for checksum in blockChecksums { out.writeField(checksum) }
        state.encode(into: &out)
    }

    init?(parsing bytes: inout ByteBuffer) {
        guard let generation: UInt32 = bytes.readField(), let arrival = bytes.readDouble(), let contentSize: UInt64 = bytes.readField(),
            contentSize <= UInt64(Int.max / 2), let isHeld = bytes.readFlag(), var envelope = bytes.readEnvelopeHead(),
            let sender = bytes.readAddress(), let origin = MessageOrigin(parsing: &bytes),
            let recipients = bytes.readList({ $0.readRecipient() }),
            let blockChecksums = bytes.readList({ $0.readField(UInt32.self) }), let state = DeliveryState(parsing: &bytes),
            state.pending.allSatisfy({ $0.recipient < recipients.count })
        else { return nil }
        envelope.sender = sender
        envelope.origin = origin
        envelope.recipients = recipients
        self.init(
            generation: generation,
            arrival: arrival,
            envelope: envelope,
            contentSize: contentSize,
            blockChecksums: blockChecksums,
            isHeld: isHeld,
            state: state
        )
    }

    init(
        generation: UInt32,
        arrival: Double,
        envelope: Envelope,
        contentSize: UInt64,
        blockChecksums: [UInt32],
        isHeld: Bool,
        state: DeliveryState
    ) {
        self.generation = generation
        self.arrival = arrival
        self.envelope = envelope
        self.contentSize = contentSize
        self.blockChecksums = blockChecksums
        self.isHeld = isHeld
        self.state = state
    }
}

extension MessageOrigin {
    fileprivate init?(parsing bytes: inout ByteBuffer) {
        guard let clientName = bytes.readText(), let clientAddress = bytes.readText(), let heloName = bytes.readText(),
            let protocolName = bytes.readText(), let saslMethod = bytes.readText(), let saslUsername = bytes.readText()
        else { return nil }
        self.init()
        self.clientName = clientName
        self.clientAddress = clientAddress
        self.heloName = heloName
        self.protocolName = protocolName
        self.saslMethod = saslMethod
        self.saslUsername = saslUsername
    }
}
