import Resolver
import Routing
import SMTPCore

/// `reject_unknown_sender_domain` and `reject_unknown_recipient_domain`: the domain is not ours and has neither MX nor address records,
/// or says with a null MX (RFC 7505) that it takes no mail.
struct RejectUnknownDomain: Rule {
    let side: EnvelopeSide

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let address = side.address(run.facts) else { return .dunno }
        let resolution = side == .sender ? await run.resolveSender(address) : await run.resolveRecipient(address)
        switch resolution.outcome {
        case .failed(let reason): return run.resolverFailed(reason, address)
        case .illegal: return .dunno
        case .resolved: break
        }
        guard let domain = resolution.recipient.domain, domain.first != "[" else { return .dunno }
        switch resolution.addressClass {
        case .local, .virtualAlias, .virtualMailbox: return .dunno
        case .relay, .default: return await check(domain, address, run)
        }
    }

    private func check(_ domain: String, _ address: Address, _ run: Evaluation) async -> Verdict {
        let name: String
        // The resolution takes no domain without an ASCII form.
        do { name = try run.environment.router.domainEncoder.asciiForm(of: domain) } catch { return notFound(address, run) }
        switch await run.environment.names.mailExchangers(of: name) {
        case .found(let exchangers):
            if exchangers.allSatisfy({ $0.host.isEmpty }) { return .reject(nullMX(domain, address)) }
            return .dunno
        case .noSuchDomain: return notFound(address, run)
        case .temporaryFailure: return temporary(address, run)
        case .noData:
            return switch await run.environment.names.addresses(of: name) {
            case .found: .dunno
            case .noData, .noSuchDomain: notFound(address, run)
            case .temporaryFailure: temporary(address, run)
            }
        }
    }

    private var status: EnhancedStatusCode { EnhancedStatusCode(4, 1, side == .sender ? 8 : 2) }

    private func notFound(_ address: Address, _ run: Evaluation) -> Verdict {
        .reject(side.rejection(run.environment.codes.unknownAddress, status, address, "Domain not found"))
    }

    private func temporary(_ address: Address, _ run: Evaluation) -> Verdict {
        let reply = side.rejection(450, status, address, "Domain not found")
        return run.environment.tempfail.address == .defer ? .reject(reply) : .deferIfPermit(reply)
    }

    private func nullMX(_ domain: String, _ address: Address) -> Reply {
        let text = "Domain \(domain) does not accept mail (nullMX)"
        return side == .sender
            ? side.rejection(550, EnhancedStatusCode(5, 7, 27), address, text)
            : side.rejection(556, EnhancedStatusCode(5, 1, 10), address, text)
    }
}
