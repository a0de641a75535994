import Tables

/// A bare `type:table` in a restriction class: means what it means in the list that uses the class.
struct ImplicitAccessCheck: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let rule = RuleCatalog.implicitCheck(run.kind, table) else { return .failure(Replies.serverConfiguration) }
        return await rule.evaluate(run)
    }
}
