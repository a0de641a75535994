import SMTPCore
import Tables

/// `reject_unauth_destination` and `defer_unauth_destination`: the recipient is neither ours nor relayed for.
struct UnauthDestination: Rule {
    let defers: Bool

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let recipient = run.facts.recipient else { return .dunno }
        switch await run.isAuthorized(recipient) {
        case .yes: return .dunno
        case .failed(let reason): return run.resolverFailed(reason, recipient)
        case .no:
            let code = run.environment.codes.relayDomains - (defers ? 100 : 0)
            return .reject(Replies.make(code, EnhancedStatusCode(5, 7, 1), "<\(recipient.internalForm)>: Relay access denied"))
        }
    }
}
