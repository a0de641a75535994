package import Resolver
package import Routing
import SMTPCore
package import Settings
package import Tables

/// The eight restriction lists of one service, ready to decide.
///
/// Built at start; immutable, may be used on any loop.
package final class RestrictionEvaluator: Sendable {
    private let environment: RestrictionEnvironment
    private let lists: [ListKind: RestrictionList]
    private let classes: [String: RestrictionList]
    /// Findings that do not keep the server from starting.
    package let warnings: [Diagnostic]

    /// Compiles the lists.
    /// - Parameter router: nil when it could not be made, so that the lists can only be checked.
    /// - Throws: every problem found: unknown restrictions, restrictions not implemented, tables that cannot be opened, and the missing
    ///   relay safeguard (`specify at least one working instance of: reject_unauth_destination, ...`).
    package init(
        settings: ServiceSettings,
        tables: TableRegistry,
        router: AddressRouter?,
        names: any NameService
    ) throws(ConfigurationError) {
        let setup = try RestrictionSetup(settings: settings, tables: tables, router: router, names: names)
        environment = setup.environment
        lists = setup.lists
        classes = setup.classes
        warnings = setup.warnings
    }

    /// Evaluates what is due at `stage`.
    ///
    /// With `smtpd_delay_reject = yes` (the default) `.connect`, `.helo` and `.mail` decide nothing, and `.rcpt`, `.vrfy` and `.etrn` run the
    /// earlier lists first. A permit ends one list only; `postmaster` without a domain skips all of them. The caller logs
    /// `decision.notices` and, on a rejection, the `reject:` line; `soft_bounce` and the reject footer are applied by the session. Once a
    /// decision of the message holds ``MessageAction/discard``, the session asks no more for that message.
    package func evaluate(_ stage: RestrictionStage, _ facts: SessionFacts) async -> Decision {
        let run = Evaluation(environment: environment, classes: classes, stage: stage, facts: facts)
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
        case .mail: return isDelayed ? nil : await checkSender(run)
        case .rcpt, .vrfy: return await checkRecipient(run, isDelayed: isDelayed)
        case .etrn: return await check((isDelayed ? [.client, .helo] : []) + [.etrn], run) ?? run.deferIfPermit
        case .data: return await check([.data], run) ?? run.deferIfPermit
        case .endOfData: return await check([.endOfData], run) ?? run.deferIfPermit
        }
    }

    private func checkSender(_ run: Evaluation) async -> Reply? {
        guard run.facts.sender != nil else { return nil }
        if let reply = await check([.sender], run) { return reply }
        guard let unlisted = environment.unlistedSender, !run.unlistedSenderWasChecked, !run.isDiscarding else { return nil }
        return await check(RejectUnlistedAddress(side: .sender, check: unlisted), "smtpd_reject_unlisted_sender", .sender, run)
    }

    private func checkRecipient(_ run: Evaluation, isDelayed: Bool) async -> Reply? {
        // RFC 5321 section 4.5.1: `postmaster` is taken from anyone.
        if run.isBarePostmaster { return nil }
        if isDelayed {
            if let reply = await check([.client, .helo], run) { return reply }
            if let reply = await checkSender(run) { return reply }
        }
        let ownLists: [ListKind] = environment.relayBeforeRecipient ? [.relay, .recipient] : [.recipient, .relay]
        if let reply = await check(ownLists, run) { return reply }
        if let deferral = run.deferIfPermit { return deferral }
        guard let unlisted = environment.unlistedRecipient, !run.unlistedRecipientWasChecked, !run.isDiscarding else { return nil }
        let rule = RejectUnlistedAddress(side: .recipient, check: unlisted)
        return await check(rule, "smtpd_reject_unlisted_recipient", .recipient, run)
    }

    private func check(_ kinds: [ListKind], _ run: Evaluation) async -> Reply? {
        for kind in kinds where !run.isDiscarding {
            guard let list = lists[kind] else { continue }
            if case .reject(let reply) = await run.run(list, as: kind) { return reply }
        }
        return nil
    }

    private func check(_ rule: any Rule, _ parameter: String, _ kind: ListKind, _ run: Evaluation) async -> Reply? {
        if case .reject(let reply) = await run.run(rule, named: parameter, as: kind) { reply } else { nil }
    }
}

extension Evaluation {
    var isBarePostmaster: Bool {
        guard let recipient = facts.recipient, recipient.domain == nil else { return false }
        return DomainName.folded(recipient.localPart) == "postmaster"
    }

    /// A table has said DISCARD: no later list has a say.
    var isDiscarding: Bool { decision.actions.contains(.discard) }
}
