import Resolver
import Tables

/// `check_reverse_client_hostname_access`: the client's PTR name, verified or not, its parents, and its address. Anyone can claim a
/// name, so a table must not permit here.
struct CheckReverseClientHostnameAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        let name = run.facts.peerName.reverseName
        let answer = await AccessKeys(table: table).nameAndAddress(
            DomainName.folded(name),
            run.facts.clientAddress,
            matchesSubdomains: run.environment.accessMapsMatchSubdomains
        )
        let verdict = run.conclude(
            answer,
            from: table,
            about: AccessSubject(name: name, replyClass: "Unverified Client host", kind: .other)
        )
        guard case .permit = verdict else { return verdict }
        run.warning("restriction check_reverse_client_hostname_access returns OK for \(name)")
        run.warning("this is not allowed for security reasons")
        run.warning("use DUNNO instead of OK if you want to make an exception")
        return .failure(Replies.serverConfiguration)
    }
}
