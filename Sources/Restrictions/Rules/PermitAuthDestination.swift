import Tables

/// `permit_auth_destination`: the recipient is ours or relayed for.
struct PermitAuthDestination: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let recipient = run.facts.recipient else { return .dunno }
        return switch await run.isAuthorized(recipient) {
        case .yes: .permit
        case .no: .dunno
        case .failed(let reason): run.resolverFailed(reason, recipient)
        }
    }
}
