/// A question as it goes out (RFC 1035 section 4).
struct DNSQuery: Sendable, Hashable {
    var id: UInt16
    var question: DNSQuestion
    /// Whether to add an OPT record (RFC 6891). Some old servers answer FORMERR to it.
    var usesEDNS = true

    /// What we accept over UDP: fits one packet on any path, so answers are not fragmented (DNS flag day 2020).
    static let payloadSize: UInt16 = 1232

    var bytes: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(12 + question.name.wire.count + 4 + 11)
        func append(_ value: UInt16) {
            out.append(UInt8(value >> 8))
            out.append(UInt8(value & 0xFF))
        }
        append(id)
        // Recursion desired.
        append(0x0100)
        for count: UInt16 in [1, 0, 0, usesEDNS ? 1 : 0] { append(count) }
        out += question.name.wire
        append(question.type.rawValue)
        append(1)
        if usesEDNS {
            out.append(0)
            append(RecordType.opt.rawValue)
            append(Self.payloadSize)
            for _ in 0..<3 { append(0) }
        }
        return out
    }

    /// Whether `message` claims to answer this very query. A server that could not read the question may leave it out, but only with
    /// an error code that we act on by asking differently or elsewhere, never with an answer.
    func isAnswered(by message: DNSMessage) -> Bool {
        guard message.isResponse, message.id == id else { return false }
        if let echoed = message.question { return echoed == question }
        return message.answers.isEmpty && message.responseCode != .noError && message.responseCode != .noSuchDomain
    }
}
