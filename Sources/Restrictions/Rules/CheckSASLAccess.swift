import Tables

/// `check_sasl_access`: the login name as it is.
struct CheckSASLAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let login = run.facts.saslUsername else { return .dunno }
        let shown = String(String.UnicodeScalarView(login.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "_" : $0 }))
        return run.conclude(
            await AccessKeys(table: table).whole(login),
            from: table,
            about: AccessSubject(name: shown, replyClass: "SASL login name", kind: .other)
        )
    }
}
