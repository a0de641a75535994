import SMTPCore
import Settings
import Tables

/// One look at where an address leads (trivial-rewrite(8)): local routing is peeled off first, then the domain's class decides, then the
/// transport table may override.
struct Resolution {
    let router: AddressRouter

    /// `user%a%b%c@here` peels one layer for each turn; more than this is no address anyone uses.
    private static let maximumLayers = 100

    func resolve(_ address: Address, sender: Address?) async -> AddressResolution {
        let result = await follow(address, sender: sender)
        // Some program down the road would take it for an option (`allow_min_user`).
        let isOption = result.outcome == .resolved && result.recipient.localPart.utf8.first == UInt8(ascii: "-")
        return isOption && !router.allowsMinUser ? illegal(result.recipient) : result
    }

    private func follow(_ address: Address, sender: Address?) async -> AddressResolution {
        var current = address.isNull ? Address(localPart: router.emptyAddressRecipient, domain: router.myHostname) : address
        for _ in 0..<Self.maximumLayers {
            current.domain = current.domain.map(AddressRewriter.withoutTrailingDot)
            if current.domain == nil { current.domain = router.myHostname }
            current = router.withNumericDomainAsLiteral(current)
            switch await router.domains.isLocal(DomainName.folded(current.domain ?? "")) {
            case .failed(let reason): return failure(reason, current)
            case .no: return await resolveForeign(current, sender: sender)
            case .yes:
                guard let next = router.rewriter.routing(in: current.localPart) else { return await resolveLocal(current) }
                current = router.rewriter.rewrite(next)
            }
        }
        return illegal(current)
    }

    private func resolveLocal(_ address: Address) async -> AddressResolution {
        var recipient = address
        if recipient.localPart.isEmpty { recipient.localPart = router.emptyAddressRecipient }
        var result = await complete(recipient, .local, router.transports.local, fallbackHop: recipient.domain ?? "")
        result.hasSenderSpecifiedRouting = AddressRewriter.holdsRouting(address.localPart)
        return result
    }

    private func resolveForeign(_ address: Address, sender: Address?) async -> AddressResolution {
        guard let domain = address.domain, isValid(domain) else { return illegal(address) }
        let addressClass: AddressClass
        switch await router.domains.classifyForeign(DomainName.folded(domain)) {
        case .failed(let reason): return failure(reason, address)
        case .found(let found): addressClass = found
        }
        var result: AddressResolution
        switch addressClass {
        case .virtualAlias:
            return AddressResolution(
                outcome: .resolved,
                addressClass: .virtualAlias,
                transport: "error",
                nextHop: router.showsUnknownTable ? "5.1.1 User unknown in virtual alias table" : "5.1.1 User unknown",
                recipient: address,
                hasSenderSpecifiedRouting: AddressRewriter.holdsRouting(address.localPart)
            )
        case .virtualMailbox:
            result = await complete(address, .virtualMailbox, router.transports.virtual, fallbackHop: domain)
        case .relay:
            result = await completeRemote(address, .relay, router.transports.relay, sender: sender)
        case .default, .local:
            var spec = router.transports.default
            if let sender {
                switch await router.transports.defaultTransport(for: sender) {
                case .failed(let reason): return failure(reason, address)
                case .found(let text): spec = TransportSpec(text)
                case .notFound: break
                }
            }
            result = await completeRemote(address, .default, spec, sender: sender)
        }
        result.hasSenderSpecifiedRouting = AddressRewriter.holdsRouting(address.localPart)
        return result
    }

    /// Fills in the next hop of a destination off this host: the transport's own, the sender's relay host, `relayhost`, the domain.
    private func completeRemote(_ address: Address, _ kind: AddressClass, _ spec: TransportSpec, sender: Address?) async
        -> AddressResolution
    {
        var hop = router.transports.relayHost
        if spec.nextHop.isEmpty, let sender {
            switch await router.transports.relayHost(for: sender) {
            case .failed(let reason): return failure(reason, address)
            // DUNNO: as if the table had no such sender.
            case .found(let text): if DomainName.folded(text) != "dunno" { hop = text }
            case .notFound: break
            }
        }
        return await complete(address, kind, spec, fallbackHop: hop.isEmpty ? address.domain ?? "" : hop)
    }

    private func complete(_ address: Address, _ kind: AddressClass, _ spec: TransportSpec, fallbackHop: String) async
        -> AddressResolution
    {
        var result = AddressResolution(
            outcome: .resolved,
            addressClass: kind,
            transport: spec.transport,
            nextHop: spec.nextHop.isEmpty ? DomainName.folded(fallbackHop) : spec.nextHop,
            recipient: address
        )
        switch await router.transports.override(for: address) {
        case .failed(let reason): return failure(reason, address)
        case .notFound: break
        case .found(let text):
            let override = TransportSpec(text)
            if !override.transport.isEmpty {
                result.transport = override.transport
                result.nextHop = override.nextHop.isEmpty ? DomainName.folded(address.domain ?? "") : override.nextHop
            } else if !override.nextHop.isEmpty {
                result.nextHop = override.nextHop
            }
        }
        switch await router.transports.relocation(of: address, isLocal: kind == .local) {
        case .failed(let reason): return failure(reason, address)
        case .notFound: break
        case .found(let text):
            result.transport = "error"
            result.nextHop = "5.1.6 User has moved to \(text)"
        }
        return await router.transports.mailboxDelivery(result)
    }

    private func isValid(_ domain: String) -> Bool {
        domain.utf8.first == UInt8(ascii: "[") ? AddressLiteral.address(domain) != nil : router.domainEncoder.isHostName(domain)
    }

    private func failure(_ reason: String, _ address: Address) -> AddressResolution {
        AddressResolution(
            outcome: .failed(reason),
            addressClass: .default,
            transport: "retry",
            nextHop: "4.3.0 \(reason)",
            recipient: address
        )
    }

    private func illegal(_ address: Address) -> AddressResolution {
        AddressResolution(
            outcome: .illegal,
            addressClass: .default,
            transport: "error",
            nextHop: "5.1.3 bad address syntax",
            recipient: address
        )
    }
}
