package import Resolver
package import SMTPCore
import Synchronization

/// A ``NameService`` whose answers are written down in the test. A name that is not in the script does not exist (`noSuchDomain`);
/// an address that is not in it has no name. Host and domain names are compared without regard to case or a trailing dot.
///
///     let names = ScriptedNameService(
///         addresses: ["mail.example": .found([.v4(0x7F00_0001)])],
///         mailExchangers: ["example": .found([MailExchanger(preference: 10, host: "mail.example")])]
///     )
package final class ScriptedNameService: NameService {
    private struct State {
        var addresses: [String: NameAnswer<[IPAddress]>]
        var mailExchangers: [String: NameAnswer<[MailExchanger]>]
        var peers: [IPAddress: PeerName]
        var questions: [String] = []
    }

    private let state: Mutex<State>

    package init(
        addresses: [String: NameAnswer<[IPAddress]>] = [:],
        mailExchangers: [String: NameAnswer<[MailExchanger]>] = [:],
        peers: [IPAddress: PeerName] = [:]
    ) {
        state = Mutex(
            State(
                addresses: Dictionary(addresses.map { (Self.key($0.key), $0.value) }) { first, _ in first },
                mailExchangers: Dictionary(mailExchangers.map { (Self.key($0.key), $0.value) }) { first, _ in first },
                peers: peers
            )
        )
    }

    /// The questions asked so far, in order: `A mail.example`, `MX example`, `PTR 192.0.2.1`.
    package var questions: [String] { state.withLock { $0.questions } }

    /// Replaces the answer of later questions.
    package func setAddresses(_ answer: NameAnswer<[IPAddress]>, of host: String) {
        state.withLock { $0.addresses[Self.key(host)] = answer }
    }

    /// Replaces the answer of later questions.
    package func setMailExchangers(_ answer: NameAnswer<[MailExchanger]>, of domain: String) {
        state.withLock { $0.mailExchangers[Self.key(domain)] = answer }
    }

    /// Replaces the answer of later questions.
    package func setPeer(_ peer: PeerName, of address: IPAddress) {
        state.withLock { $0.peers[address] = peer }
    }

    /// A literal address is itself; any other host is looked up in the script.
    package func addresses(of host: String) async -> NameAnswer<[IPAddress]> {
        state.withLock { state in
            state.questions.append("A \(host)")
            if let literal = IPAddress(host) { return .found([literal]) }
            return state.addresses[Self.key(host)] ?? .noSuchDomain
        }
    }

    /// In the order of the script: a test that wants another order writes it so.
    package func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> {
        state.withLock { state in
            state.questions.append("MX \(domain)")
            if let answer = state.mailExchangers[Self.key(domain)] { return answer }
            // As in the DNS: a name that has addresses exists, and has no MX record.
            return if case .found = state.addresses[Self.key(domain)] { .noData } else { .noSuchDomain }
        }
    }

    /// ``PeerName/unknown`` for an address that is not in the script.
    package func peerName(of address: IPAddress) async -> PeerName {
        state.withLock { state in
            state.questions.append("PTR \(address)")
            return state.peers[address] ?? .unknown
        }
    }

    private static func key(_ name: String) -> String {
        let name = name.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }
}
