import Resolver
import Tables

/// `permit_mynetworks`: the client's name or address is in `mynetworks`.
struct PermitMyNetworks: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        switch await run.environment.myNetworks.contains(run.facts.clientAddress, name: run.facts.peerName.name) {
        case .yes: .permit
        case .no: .dunno
        case .failed(_): .failure(Replies.temporaryLookupFailure(run.clientName))
        }
    }
}
