import Routing
import SMTPCore

/// `reject_unauth_destination` and `defer_unauth_destination`: the recipient is neither ours nor relayed for.
struct UnauthDestination: Rule {
    let defers: Bool

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let recipient = run.facts.recipient else { return .dunno }
        let resolution = await run.environment.router.resolve(recipient, sender: run.facts.sender)
        if case .failed(_) = resolution.outcome { return .failure(Replies.temporaryLookupFailure("\(recipient)")) }
        let isTrusted = !resolution.hasSenderSpecifiedRouting || run.environment.allowsUntrustedRouting
        if isTrusted, resolution.outcome == .resolved, resolution.addressClass != .default { return .dunno }
        let code = run.environment.codes.relayDomains - (defers ? 100 : 0)
        return .reject(Replies.make(code, EnhancedStatusCode(5, 7, 1), "<\(recipient)>: Relay access denied"))
    }
}
