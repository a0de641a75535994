/// The name of a restriction class: its list is evaluated in place.
struct RestrictionClass: Rule {
    let name: String

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let list = run.classes[name] else { return .failure(Replies.serverConfiguration) }
        return .evaluate(list)
    }
}
