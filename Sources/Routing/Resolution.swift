import SMTPCore
import Tables

/// One look at where an address leads.
struct Resolution {
    let router: AddressRouter

    func resolve(_ address: Address, sender: Address?) async -> AddressResolution {
        var result = AddressResolution(outcome: .resolved, addressClass: .default, transport: "", nextHop: "", recipient: address)
        guard let domain = address.domain else {
            result.outcome = .illegal
            return result
        }
        switch await router.domains.classify(DomainName.folded(domain)) {
        case .failed(let reason): result.outcome = .failed(reason)
        case .found(let found): result.addressClass = found
        }
        return result
    }
}
