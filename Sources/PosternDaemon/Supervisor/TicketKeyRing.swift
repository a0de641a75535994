import TLS

/// The keys of TLS session tickets: made here, so that they outlive every generation of the smtpd role, and rotated.
struct TicketKeyRing {
    /// Seconds a key seals. It opens for three times as long, which is beyond the life of a ticket in the default configuration.
    static let lifetime = 3600.0

    /// In hexadecimal, newest first.
    private(set) var keys: [String] = []
    /// Monotonic seconds.
    private(set) var madeAt = 0.0

    var rotateAt: Double { keys.isEmpty ? 0 : madeAt + Self.lifetime }

    /// True when there is something new to tell the roles.
    mutating func rotate(now: Double) -> Bool {
        guard now >= rotateAt else { return false }
        var random = SystemRandomNumberGenerator()
        let key = (0..<TLSTicketKeys.length).map { _ in UInt8.random(in: 0...255, using: &random) }
        keys = [Hexadecimal.text(key)] + keys.prefix(TLSTicketKeys.maximumCount - 1)
        madeAt = now
        return true
    }
}
