import Routing
import SMTPCore
import Tables

extension Evaluation {
    /// Notes what was asked for the trace, and concludes from the answer.
    func conclude(_ answer: AccessAnswer, from table: any LookupTable, about subject: AccessSubject) -> Verdict {
        switch answer {
        case .notFound:
            consulted = (table.name, subject.name.isEmpty ? "<>" : subject.name, nil)
            return .dunno
        case .failed(let reason, let key):
            consulted = (table.name, key, "(\(reason))")
            return lookupFailed(reason, key, in: table.name, about: subject)
        case .found(let value, let key):
            consulted = (table.name, key, value)
            return act(on: value, from: table.name, key: key, about: subject)
        }
    }

    /// Asks an access table about an address, as it resolves: completed, routing peeled off, in lower case.
    func checkMailbox(_ address: Address, _ table: any LookupTable, _ subject: AccessSubject) async -> Verdict {
        let resolution = subject.kind == .sender ? await resolveSender(address) : await resolveRecipient(address)
        if case .failed(let reason) = resolution.outcome { return resolverFailed(reason, address) }
        guard let domain = resolution.recipient.domain else { return .dunno }
        let folded = Address(localPart: KeyFolding.folded(resolution.recipient.localPart), domain: KeyFolding.folded(domain))
        let answer = await AccessKeys(table: table).mailbox(
            folded,
            environment.router.addressLookup,
            matchesSubdomains: environment.accessMapsMatchSubdomains
        )
        return conclude(answer, from: table, about: subject)
    }

    /// `451 4.3.0 <X>: Temporary lookup failure`; the reason is for the log.
    func resolverFailed(_ reason: String, _ address: Address) -> Verdict {
        warning("address resolver failure for \"\(address.internalForm)\": \(reason)")
        return .failure(Replies.temporaryLookupFailure(address.internalForm))
    }
}
