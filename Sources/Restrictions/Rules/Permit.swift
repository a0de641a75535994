/// `permit`: ends the list.
struct Permit: Rule {
    func evaluate(_ run: Evaluation) async -> Verdict { .permit }
}
