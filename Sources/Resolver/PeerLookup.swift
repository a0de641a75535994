internal import NIOCore
package import SMTPCore
internal import Synchronization

extension StubResolver {
    /// The name of a client: hosts, then PTR; then the forward check in the client's address family, all within ``ResolverLimits/peerTime``.
    ///
    /// Of several PTR records the first counts. A PTR name that the C library does not take for a name counts as none, one that Postfix
    /// does not take as malformed. The reason of `forged` and of a temporary failure of the forward check (`reverseName` is known then) is
    /// what Postfix prints after `warning: hostname NAME does not resolve to address ADDR: `; empty where it prints nothing more.
    package func peerName(of address: IPAddress) async -> PeerName {
        let address = address.unmapped
        if let name = configuration.hosts.name(of: address) ?? Self.loopbackName(address) {
            if let problem = HostnameSyntax.problem(of: name) { return .malformed(problem) }
            return PeerName(name: name, reverseName: name, status: .verified)
        }
        guard peers.enter(address) else {
            let reason = "too many name look-ups for clients of this network"
            return PeerName(name: "unknown", reverseName: "unknown", status: .temporaryFailure(reason))
        }
        defer { peers.leave(address) }
        let deadline = NIODeadline.now() + limits.peerTime
        let question = DNSQuestion(name: DomainName(reverse: address), type: .ptr)
        switch await desk.answer(to: question, purpose: .peer, deadline: deadline) {
        case .records(let records):
            guard case .name(let name)? = records.first, HostnameSyntax.passesTheLibrary(name) else { return .unknown }
            if let problem = HostnameSyntax.problem(of: name.isRoot ? "." : name.description) { return .malformed(problem) }
            return await check(name, of: address, deadline: deadline)
        case .noData, .noSuchDomain: return .unknown
        case .failure(let reason): return PeerName(name: "unknown", reverseName: "unknown", status: .temporaryFailure(reason))
        }
    }

    private func check(_ name: DomainName, of address: IPAddress, deadline: NIODeadline) async -> PeerName {
        let text = name.description
        let known = Self.isLocalhost(text) ? [] : configuration.hosts.addresses(of: text)
        let answer: RecordAnswer
        if Self.isLocalhost(text) || !known.isEmpty {
            answer = .records(known.map { .address($0) })
        } else {
            let type: RecordType = address.bitWidth == 32 ? .a : .aaaa
            answer = await desk.answer(to: DNSQuestion(name: name, type: type), purpose: .peer, deadline: deadline)
        }
        let status = Self.status(of: address, given: answer)
        return PeerName(name: status == .verified ? text : "unknown", reverseName: text, status: status)
    }

    static func status(of address: IPAddress, given answer: RecordAnswer) -> PeerName.Status {
        switch answer {
        case .records: addresses(in: answer).contains(address) ? .verified : .forged("")
        // The C library's words, which log analysers know.
        case .noData: .forged("No address associated with hostname")
        case .noSuchDomain: .forged("Name or service not known")
        case .failure: .temporaryFailure("Temporary failure in name resolution")
        }
    }

    private static func loopbackName(_ address: IPAddress) -> String? {
        address == .v4(0x7F00_0001) || address == .v6(high: 0, low: 1) ? "localhost" : nil
    }
}

/// Counts the peers of each network whose names are being looked up, so that one network with a slow reverse zone cannot take all places.
/// Several sessions of one peer count once: they share a question.
final class PeerAdmission: Sendable {
    private let perNetwork: Int
    private let networks = Mutex<[IPAddress: [IPAddress: Int]]>([:])

    init(perNetwork: Int) { self.perNetwork = perNetwork }

    /// Whether a look-up for `address` may start; if so, ``leave(_:)`` must follow.
    func enter(_ address: IPAddress) -> Bool {
        networks.withLock { networks in
            let network = Self.network(of: address)
            let peers = networks[network] ?? [:]
            guard peers[address] != nil || peers.count < perNetwork else { return false }
            networks[network, default: [:]][address, default: 0] += 1
            return true
        }
    }

    func leave(_ address: IPAddress) {
        networks.withLock { networks in
            let network = Self.network(of: address)
            guard let sessions = networks[network]?[address] else { return }
            networks[network]?[address] = sessions > 1 ? sessions - 1 : nil
            if networks[network]?.isEmpty == true { networks[network] = nil }
        }
    }

    private static func network(of address: IPAddress) -> IPAddress { address.masked(to: address.bitWidth == 32 ? 24 : 56) }
}
