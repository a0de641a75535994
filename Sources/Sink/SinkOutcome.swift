internal import SMTPCore

/// What is answered to a complete message: one reply, or in LMTP one for each recipient (RFC 2033 section 4.2).
struct SinkOutcome {
    /// The recipients the message is taken for.
    private(set) var accepted: [SinkPath] = []
    private(set) var replies: [Reply] = []
    /// What happens instead of the next reply.
    private(set) var ending: SinkFault.Action?

    /// - Parameter fault: asked once for each reply.
    init(recipients: [SinkPath], isLMTP: Bool, fault: () -> SinkFault.Action?) {
        let groups = isLMTP ? recipients.map { [$0] } : [recipients]
        for group in groups {
            switch fault() {
            case .reply(let reply):
                replies.append(reply)
                if reply.isPositive { accepted += group }
                if reply.closes { return }
            case nil:
                let text = isLMTP ? "<\(group[0].path)> Ok: taken" : "Ok: taken"
                replies.append(Reply(250, EnhancedStatusCode(2, 0, 0), text))
                accepted += group
            case let action?:
                ending = action
                return
            }
        }
    }
}
