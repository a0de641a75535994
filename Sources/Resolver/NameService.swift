package import SMTPCore

/// The answer to a question of the DNS (or of the hosts file).
package enum NameAnswer<Value: Sendable & Hashable>: Sendable, Hashable {
    case found(Value)
    /// The name exists, but has no record of this type.
    case noData
    /// NXDOMAIN.
    case noSuchDomain
    /// Time-out, SERVFAIL, malformed answer, or a bound of ours; the text is for the log.
    case temporaryFailure(String)
}

package struct MailExchanger: Sendable, Hashable {
    package var preference: UInt16
    /// Without the trailing dot; empty for a null MX (RFC 7505).
    package var host: String

    package init(preference: UInt16, host: String) {
        self.preference = preference
        self.host = host
    }
}

/// What the address of a client leads to: PTR, then the forward check.
package struct PeerName: Sendable, Hashable {
    package enum Status: Sendable, Hashable {
        /// The name's addresses contain the client's.
        case verified
        /// No PTR record.
        case none
        /// The PTR name is no host name; the text is Postfix's warning.
        case malformed(String)
        /// The name does not map back to the client's address; the reason is for the log.
        case forged(String)
        /// A look-up failed for the moment.
        case temporaryFailure(String)
    }

    /// The verified name, else `unknown`.
    package var name: String
    /// The PTR name whether verified or not, else `unknown`.
    package var reverseName: String
    package var status: Status

    package init(name: String, reverseName: String, status: Status) {
        self.name = name
        self.reverseName = reverseName
        self.status = status
    }

    package static let unknown = PeerName(name: "unknown", reverseName: "unknown", status: .none)

    static func malformed(_ problem: String) -> PeerName { PeerName(name: "unknown", reverseName: "unknown", status: .malformed(problem)) }
}

/// Hosts and DNS, as rules and the relay ask them. Implementations bound their time and never block a loop.
package protocol NameService: Sendable {
    /// A and AAAA records, IPv4 first, following CNAMEs. A literal address (without brackets) is answered at once.
    func addresses(of host: String) async -> NameAnswer<[IPAddress]>
    /// MX records in order of preference.
    func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]>
    func peerName(of address: IPAddress) async -> PeerName
}
