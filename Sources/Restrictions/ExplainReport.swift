import Resolver
package import Routing
package import SMTPCore
package import Settings

/// What the rules of a service make of one recipient, step by step: the text of `postern explain`.
package struct ExplainReport: Sendable {
    /// The service's name in master.cf and what was asked, for the first lines.
    package var service: String
    package var facts: SessionFacts
    /// The stages in order; the last one decided, or all let the recipient pass.
    package var stages: [(stage: RestrictionStage, decision: Decision)]
    package var resolution: AddressResolution
    private let locations: [String: SourceLocation]

    /// Plays the session that `facts` describe up to its RCPT.
    package init(
        service: String,
        settings: ServiceSettings,
        facts: SessionFacts,
        evaluator: RestrictionEvaluator,
        router: AddressRouter
    ) async {
        self.service = service
        self.facts = facts
        var played = facts
        stages = []
        for stage in [RestrictionStage.connect, .helo, .mail, .rcpt] {
            if stage == .helo, facts.heloName == nil { continue }
            let decision = await evaluator.evaluate(stage, played.known(at: stage))
            stages.append((stage, decision))
            if decision.rejection != nil { break }
            played.pendingDeferral = played.pendingDeferral ?? decision.pendingDeferral
        }
        resolution = await router.resolve(facts.recipient ?? .null, sender: facts.sender)
        var locations: [String: SourceLocation] = [:]
        for step in stages.flatMap(\.decision.trace) where locations[step.list] == nil {
            locations[step.list] = settings.location(of: step.list)
        }
        self.locations = locations
    }

    /// The reply to the client; nil when the recipient is accepted.
    package var rejection: Reply? { stages.last?.decision.rejection }

    /// The report, lines ended by newlines.
    package var text: String {
        var lines = heading
        let steps = stages.flatMap { entry in entry.decision.trace }
        let deciding = decidingStep(steps)
        var list = ""
        for (index, step) in steps.enumerated() {
            if step.list != list {
                list = step.list
                lines.append("")
                lines.append(list + (locations[list].map { "  (\($0))" } ?? ""))
            }
            lines += describe(step, isDeciding: index == deciding)
        }
        if steps.isEmpty { lines += ["", "No restriction was evaluated."] }
        let notices = stages.flatMap(\.decision.notices)
        if !notices.isEmpty { lines += ["", "In the log:"] + notices.map { "  \($0.verb): \($0.text)" } }
        return (lines + ["", answer, destination]).joined(separator: "\n") + "\n"
    }

    private var heading: [String] {
        var lines = ["service    \(service)", "client     \(facts.peerName.name)[\(facts.clientAddress)]"]
        if let helo = facts.heloName { lines.append("helo       \(helo)") }
        if facts.tlsActive { lines.append("TLS        yes") }
        if let login = facts.saslUsername { lines.append("login      \(login)") }
        lines.append("sender     <\(facts.sender ?? .null)>")
        lines.append("recipient  <\(facts.recipient ?? .null)>")
        return lines
    }

    private func describe(_ step: TraceStep, isDeciding: Bool) -> [String] {
        let mark = isDeciding ? "=>" : "  "
        let number = String(step.index + 1)
        let name = "\(mark) \(String(repeating: " ", count: max(0, 2 - number.count)))\(number)  \(step.restriction)"
        let padding = String(repeating: " ", count: max(2, 59 - name.count))
        var lines = ["\(name)\(padding)\(Self.word(step.result))"]
        if let key = step.key {
            let answer = step.value.map { "\"\($0)\"" } ?? "no entry"
            lines.append("          \(step.table ?? ""): \"\(key)\" -> \(answer)")
        }
        return lines
    }

    private static func word(_ result: TraceStep.Result) -> String {
        switch result {
        case .dunno: "no opinion"
        case .permit: "permit, ends this list"
        case .reject(let reply): "reject: \(reply.logText)"
        case .warned(let reply): "would reject (warn_if_reject): \(reply.logText)"
        case .deferred(let reply): "noted for later: \(reply.logText)"
        case .action(let text): text
        }
    }

    /// The step whose reply the client gets; the last permit when it gets none.
    private func decidingStep(_ steps: [TraceStep]) -> Int? {
        guard let rejection else { return steps.lastIndex { $0.result == .permit } }
        return steps.lastIndex { $0.result == .reject(rejection) } ?? steps.firstIndex { $0.result == .deferred(rejection) }
    }

    private var answer: String {
        guard let rejection, let stage = stages.last?.stage else { return "answer     250 2.1.5 Ok" }
        return "answer     \(rejection.logText)" + (stage == .rcpt ? "" : "  (at \(stage.rawValue))")
    }

    private var destination: String {
        switch resolution.outcome {
        case .illegal: "leads to   nowhere: bad address syntax (501 5.1.3 at RCPT)"
        case .failed(let reason): "leads to   unknown for now: \(reason)"
        case .resolved:
            "leads to   <\(resolution.recipient)>, class \(resolution.addressClass.rawValue), transport \(resolution.transport), "
                + "next hop \(resolution.nextHop)"
        }
    }
}

extension SessionFacts {
    /// What is known when `stage` comes: a test of what comes later must find nothing.
    fileprivate func known(at stage: RestrictionStage) -> SessionFacts {
        var known = self
        if stage != .rcpt { known.recipient = nil }
        if stage == .connect || stage == .helo { known.sender = nil }
        if stage == .connect { known.heloName = nil }
        return known
    }
}
