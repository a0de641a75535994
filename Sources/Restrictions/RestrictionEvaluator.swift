package import Resolver
package import Routing
import SMTPCore
package import Settings
package import Tables

/// The eight restriction lists of one service, ready to decide.
///
/// Built at start; immutable, may be used on any loop.
package struct RestrictionEvaluator: Sendable {
    private let environment: RestrictionEnvironment
    private let lists: [ListKind: RestrictionList]
    /// Findings that do not keep the server from starting.
    package let warnings: [Diagnostic]

    /// Compiles the lists.
    /// - Throws: every problem found: unknown restrictions, restrictions not implemented, tables that cannot be opened, and the missing
    ///   relay safeguard (`specify at least one working instance of: reject_unauth_destination, ...`).
    package init(
        settings: ServiceSettings,
        tables: TableRegistry,
        router: AddressRouter,
        names: any NameService
    ) throws(ConfigurationError) {
        environment = try RestrictionEnvironment(settings: settings, tables: tables, router: router, names: names)
        var compiler = RestrictionCompiler(settings: settings, tables: tables)
        var lists: [ListKind: RestrictionList] = [:]
        for kind in ListKind.allCases { lists[kind] = compiler.compile(kind) }
        compiler.checkRelaySafeguard()
        guard !compiler.diagnostics.contains(where: { $0.severity == .error }) else { throw ConfigurationError(compiler.diagnostics) }
        self.lists = lists
        warnings = compiler.diagnostics
    }

    /// Evaluates what is due at `stage`.
    ///
    /// With `smtpd_delay_reject = yes` (the default) `.connect`, `.helo` and `.mail` decide nothing, and `.rcpt`, `.vrfy` and `.etrn` run the
    /// earlier lists first. A permit ends one list only; `postmaster` without a domain skips all of them. The caller logs
    /// `decision.notices` and, on a rejection, the `reject:` line; `soft_bounce` and the reject footer are applied by the session.
    package func evaluate(_ stage: RestrictionStage, _ facts: SessionFacts) async -> Decision {
        let run = Evaluation(environment: environment, stage: stage, facts: facts)
        let rejection = await evaluate(stage, run)
        run.decision.rejection = rejection
        run.decision.pendingDeferral = rejection == nil ? run.deferIfPermit : nil
        return run.decision
    }

    private func evaluate(_ stage: RestrictionStage, _ run: Evaluation) async -> Reply? {
        let isDelayed = environment.delaysReject
        switch stage {
        case .connect: return isDelayed ? nil : await check([.client], run)
        case .helo: return isDelayed ? nil : await check([.helo], run)
        case .mail: return isDelayed ? nil : await check([.sender], run)
        case .rcpt, .vrfy:
            if run.isBarePostmaster { return nil }
            let ownLists: [ListKind] = environment.relayBeforeRecipient ? [.relay, .recipient] : [.recipient, .relay]
            if let reply = await check((isDelayed ? [.client, .helo, .sender] : []) + ownLists, run) { return reply }
            return run.deferIfPermit
        case .etrn: return await check((isDelayed ? [.client, .helo] : []) + [.etrn], run) ?? run.deferIfPermit
        case .data: return await check([.data], run) ?? run.deferIfPermit
        case .endOfData: return await check([.endOfData], run) ?? run.deferIfPermit
        }
    }

    private func check(_ kinds: [ListKind], _ run: Evaluation) async -> Reply? {
        for kind in kinds {
            guard let list = lists[kind] else { continue }
            if case .reject(let reply) = await run.run(list, as: kind) { return reply }
        }
        return nil
    }
}

extension Evaluation {
    /// `RCPT TO:<postmaster>` must be accepted from anyone (RFC 5321 section 4.5.1).
    var isBarePostmaster: Bool {
        guard let recipient = facts.recipient, recipient.domain == nil else { return false }
        return DomainName.folded(recipient.localPart) == "postmaster"
    }
}
