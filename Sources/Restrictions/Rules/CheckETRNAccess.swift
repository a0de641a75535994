import Tables

/// `check_etrn_access`: the argument of ETRN and its parents.
struct CheckETRNAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let domain = run.facts.etrnDomain else { return .dunno }
        let answer = await AccessKeys(table: table).domain(domain, matchesSubdomains: run.environment.accessMapsMatchSubdomains)
        return run.conclude(answer, from: table, about: AccessSubject(name: domain, replyClass: "Etrn command", kind: .other))
    }
}
