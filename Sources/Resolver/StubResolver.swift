package import NIOCore
package import SMTPCore

/// What the resolver allows itself.
package struct ResolverLimits: Sendable, Hashable {
    /// Questions under way at one time; each holds up to one socket per name server.
    package var outstanding = 512
    /// Those among them that look up the names of peers.
    package var outstandingForPeers = 256
    /// Peers of one network (IPv4 /24, IPv6 /56) whose names are looked up at one time.
    package var peersPerNetwork = 16
    /// For a peer's name, PTR and forward check together.
    package var peerTime = TimeAmount.seconds(5)
    /// For any other look-up.
    package var lookupTime = TimeAmount.seconds(20)
    var cache = AnswerCache.Limits()

    package init() {}
}

/// Hosts file and DNS over UDP and TCP, on the loops of a group. One instance serves a whole process.
///
/// Names are taken as absolute. Hosts come first, then the DNS. `localhost` and names below it are the loopback addresses whatever the
/// DNS says (RFC 6761 section 6.3). The group must outlive all look-ups.
package final class StubResolver: NameService {
    let configuration: ResolverConfiguration
    let limits: ResolverLimits
    let desk: QuestionDesk
    let peers: PeerAdmission

    package init(_ configuration: ResolverConfiguration, group: any EventLoopGroup, limits: ResolverLimits = ResolverLimits()) {
        precondition(!configuration.servers.isEmpty, "a resolver needs a server")
        self.configuration = configuration
        self.limits = limits
        desk = QuestionDesk(group: group, configuration: configuration, limits: limits)
        peers = PeerAdmission(perNetwork: limits.peersPerNetwork)
    }

    package func addresses(of host: String) async -> NameAnswer<[IPAddress]> {
        if let literal = IPAddress(host) { return .found([literal]) }
        if Self.isLocalhost(host) { return .found([.v4(0x7F00_0001), .v6(high: 0, low: 1)]) }
        let known = configuration.hosts.addresses(of: host)
        if !known.isEmpty { return .found(known.filter { $0.bitWidth == 32 } + known.filter { $0.bitWidth == 128 }) }
        guard let name = DomainName(host) else { return .noSuchDomain }
        let deadline = NIODeadline.now() + limits.lookupTime
        async let v4 = desk.answer(to: DNSQuestion(name: name, type: .a), purpose: .lookup, deadline: deadline)
        async let v6 = desk.answer(to: DNSQuestion(name: name, type: .aaaa), purpose: .lookup, deadline: deadline)
        return Self.combine(await v4, await v6)
    }

    /// One family's addresses are enough; that there are none must be known of both.
    static func combine(_ v4: RecordAnswer, _ v6: RecordAnswer) -> NameAnswer<[IPAddress]> {
        let found = addresses(in: v4) + addresses(in: v6)
        if !found.isEmpty { return .found(found) }
        for case .failure(let reason) in [v4, v6] { return .temporaryFailure(reason) }
        return v4 == .noSuchDomain || v6 == .noSuchDomain ? .noSuchDomain : .noData
    }

    static func addresses(in answer: RecordAnswer) -> [IPAddress] {
        guard case .records(let records) = answer else { return [] }
        return records.compactMap { if case .address(let address) = $0 { address } else { nil } }
    }

    package func mailExchangers(of domain: String) async -> NameAnswer<[MailExchanger]> {
        if Self.isLocalhost(domain) || IPAddress(domain) != nil { return .noData }
        guard let name = DomainName(domain) else { return .noSuchDomain }
        let deadline = NIODeadline.now() + limits.lookupTime
        switch await desk.answer(to: DNSQuestion(name: name, type: .mx), purpose: .lookup, deadline: deadline) {
        case .records(let records): return Self.exchangers(records)
        case .noData: return .noData
        case .noSuchDomain: return .noSuchDomain
        case .failure(let reason): return .temporaryFailure(reason)
        }
    }

    /// Drops hosts that are neither host names nor addresses. An address is against RFC 1035, but widespread, and Postfix delivers there.
    static func exchangers(_ records: [RecordData]) -> NameAnswer<[MailExchanger]> {
        if records.count == 1, case .mailExchanger(let preference, let host) = records[0], host.isRoot {
            return .found([MailExchanger(preference: preference, host: "")])
        }
        let exchangers: [MailExchanger] = records.compactMap { record in
            guard case .mailExchanger(let preference, let host) = record else { return nil }
            // Next hops are keys of caches and of what is known of destinations.
            let name = host.description.lowercased()
            return HostnameSyntax.isValid(name) || IPAddress(name) != nil ? MailExchanger(preference: preference, host: name) : nil
        }
        if exchangers.isEmpty { return .temporaryFailure("no MX record names a valid host") }
        return .found(exchangers.sorted { $0.preference < $1.preference })
    }

    /// TXT records, the strings of each joined; bytes that are not UTF-8 are repaired.
    package func texts(of domain: String) async -> NameAnswer<[String]> {
        guard let name = DomainName(domain) else { return .noSuchDomain }
        let deadline = NIODeadline.now() + limits.lookupTime
        switch await desk.answer(to: DNSQuestion(name: name, type: .txt), purpose: .lookup, deadline: deadline) {
        case .records(let records):
            return .found(records.compactMap { if case .text(let bytes) = $0 { String(decoding: bytes, as: UTF8.self) } else { nil } })
        case .noData: return .noData
        case .noSuchDomain: return .noSuchDomain
        case .failure(let reason): return .temporaryFailure(reason)
        }
    }

    static func isLocalhost(_ host: String) -> Bool {
        let name = host.lowercased()
        let absolute = name.hasSuffix(".") ? String(name.dropLast()) : name
        return absolute == "localhost" || absolute.hasSuffix(".localhost")
    }
}
