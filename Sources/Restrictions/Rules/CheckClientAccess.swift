import Resolver
import Tables

/// `check_client_access`: client name and its parents, then client address and its networks.
struct CheckClientAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        let keys = AccessKeys(table: table)
        let answer = await keys.nameAndAddress(
            DomainName.folded(run.facts.peerName.name),
            run.facts.clientAddress,
            matchesSubdomains: run.environment.accessMapsMatchSubdomains
        )
        return run.conclude(answer, from: table, about: AccessSubject(name: run.clientName, replyClass: "Client host", kind: .other))
    }
}
