/// `reject_unlisted_sender` and `reject_unlisted_recipient`: the address is in a domain whose valid addresses we know, and is none of them.
struct RejectUnlistedAddress: Rule {
    let side: EnvelopeSide
    let check: UnlistedCheck

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let address = side.address(run.facts) else { return .dunno }
        if side == .sender { run.unlistedSenderWasChecked = true } else { run.unlistedRecipientWasChecked = true }
        return await check.evaluate(address, side, run)
    }
}
