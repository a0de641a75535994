import Tables

/// `check_helo_access`: the HELO name and its parents.
struct CheckHeloAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let helo = run.facts.heloName else { return .dunno }
        let answer = await AccessKeys(table: table).domain(helo, matchesSubdomains: run.environment.accessMapsMatchSubdomains)
        return run.conclude(answer, from: table, about: AccessSubject(name: helo, replyClass: "Helo command", kind: .other))
    }
}
