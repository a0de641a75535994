import Resolver
import Routing
import SMTPCore
import Tables

/// One evaluation in progress: the facts, what has been recorded so far, and the notes for the trace. Lives for one call of
/// ``RestrictionEvaluator/evaluate(_:_:)``.
final class Evaluation {
    let environment: RestrictionEnvironment
    let classes: [String: RestrictionList]
    let stage: RestrictionStage
    let facts: SessionFacts
    /// The list being evaluated.
    private(set) var kind: ListKind = .client
    private(set) var deferIfPermit: Reply?
    private var deferIfReject: Reply?
    private var isWarned = false
    private var depth = 0
    /// What a table was asked about whose answer, a list of restrictions, is at work.
    private(set) var accessSubject: AccessSubject?
    var decision = Decision()
    var unlistedSenderWasChecked = false
    var unlistedRecipientWasChecked = false
    private var resolvedSender: AddressResolution?
    private var resolvedRecipient: AddressResolution?
    /// What the rule at work has asked: its trace step shows it.
    var consulted: (table: String, key: String, value: String?)?

    private static let maximumDepth = 100

    enum Outcome {
        case dunno
        case permit
        case reject(Reply)
    }

    init(environment: RestrictionEnvironment, classes: [String: RestrictionList], stage: RestrictionStage, facts: SessionFacts) {
        self.environment = environment
        self.classes = classes
        self.stage = stage
        self.facts = facts
        // DATA and end of data start afresh.
        deferIfPermit = stage == .data || stage == .endOfData ? nil : facts.pendingDeferral
    }

    /// Evaluates one of the eight lists.
    func run(_ list: RestrictionList, as kind: ListKind) async -> Outcome {
        self.kind = kind
        deferIfReject = nil
        return await run(list)
    }

    private func run(_ list: RestrictionList) async -> Outcome {
        for entry in list.entries {
            let start = ContinuousClock.now
            let wasWarned = isWarned
            isWarned = isWarned || entry.isWarned
            consulted = nil
            let verdict = await entry.rule.evaluate(self)
            let outcome = await conclude(verdict, entry, in: list, since: start)
            isWarned = wasWarned
            if let outcome { return outcome }
            if deferIfPermit != nil, deferIfReject != nil { return .dunno }
        }
        return .dunno
    }

    /// nil: the next restriction decides.
    private func conclude(
        _ verdict: Verdict,
        _ entry: RestrictionList.Entry,
        in list: RestrictionList,
        since start: ContinuousClock.Instant
    ) async
        -> Outcome?
    {
        func note(_ result: TraceStep.Result) {
            decision.trace.append(
                TraceStep(
                    list: list.name,
                    index: entry.index,
                    restriction: entry.text,
                    table: consulted?.table,
                    key: consulted?.key,
                    value: consulted?.value,
                    result: result,
                    duration: .now - start
                )
            )
        }
        switch verdict {
        case .dunno:
            note(.dunno)
            return nil
        case .permit:
            note(.permit)
            return .permit
        case .acted(let what):
            note(.action(what))
            return nil
        case .actedAndPermitted(let what):
            note(.action(what))
            return .permit
        case .reject(let reply):
            if isWarned {
                warn(reply)
                note(.warned(reply))
                return nil
            }
            let final = reply.isPermanentFailure ? deferIfReject ?? reply : reply
            note(.reject(final))
            return .reject(final)
        case .failure(let reply):
            note(.reject(reply))
            return .reject(reply)
        case .hangUp:
            decision.hangsUp = true
            note(.action("HANGUP"))
            return .reject(Replies.hangUp)
        case .deferIfPermit(let reply):
            if isWarned {
                warn(reply)
                note(.warned(reply))
            } else {
                if deferIfPermit == nil { deferIfPermit = reply }
                note(.deferred(reply))
            }
            return nil
        case .deferIfReject(let reply):
            if deferIfReject == nil { deferIfReject = reply }
            note(.deferred(reply))
            return nil
        case .evaluateAbout(let subject, let nested):
            let previous = accessSubject
            accessSubject = subject
            defer { accessSubject = previous }
            return await conclude(.evaluate(nested), entry, in: list, since: start)
        case .evaluate(let nested):
            guard depth < Self.maximumDepth else {
                warning("unreasonable recursion in restriction \(nested.name)")
                let reply = Replies.serverConfiguration
                note(.reject(reply))
                return .reject(reply)
            }
            note(.action("evaluate \(nested.name)"))
            depth += 1
            defer { depth -= 1 }
            return switch await run(nested) {
            case .dunno: nil
            case let outcome: outcome
            }
        }
    }

    private func warn(_ reply: Reply) {
        decision.notices.append(Decision.Notice(verb: "reject_warning", text: reply.logText, reply: reply))
    }

    /// A rule that is no restriction of a list (`smtpd_reject_unlisted_recipient`).
    func run(_ rule: any Rule, named parameter: String, as kind: ListKind) async -> Outcome {
        let entry = RestrictionList.Entry(index: 0, text: parameter, rule: rule, isWarned: false)
        return await run(RestrictionList(name: parameter, entries: [entry]), as: kind)
    }

    /// Where the sender leads; asked once.
    func resolveSender(_ sender: Address) async -> AddressResolution {
        if let resolvedSender { return resolvedSender }
        let resolution = await environment.router.resolve(sender)
        resolvedSender = resolution
        return resolution
    }

    /// Where the recipient leads; asked once.
    func resolveRecipient(_ recipient: Address) async -> AddressResolution {
        if let resolvedRecipient { return resolvedRecipient }
        let resolution = await environment.router.resolve(recipient, sender: facts.sender)
        resolvedRecipient = resolution
        return resolution
    }

    /// Whether we take mail for the recipient from anyone: it is ours or relayed for, and no sender-specified routing leads on.
    func isAuthorized(_ recipient: Address) async -> ListMatch {
        let resolution = await resolveRecipient(recipient)
        switch resolution.outcome {
        case .failed(let reason): return .failed(reason)
        case .illegal: return .no
        case .resolved: break
        }
        if resolution.hasSenderSpecifiedRouting, !environment.allowsUntrustedRouting { return .no }
        return resolution.addressClass == .default ? .no : .yes
    }
}

extension Evaluation {
    /// The `X` of `<X>: CLASS rejected: ...` for the generic restrictions of the list at work.
    var subject: String {
        switch kind {
        case .client: clientName
        case .helo: facts.heloName ?? ""
        case .sender: facts.sender?.internalForm ?? ""
        case .relay, .recipient: facts.recipient?.internalForm ?? ""
        case .data: "DATA"
        case .endOfData: "END-OF-MESSAGE"
        case .etrn: facts.etrnDomain ?? ""
        }
    }

    /// `name[address]`.
    var clientName: String { facts.clientText.isEmpty ? "\(facts.peerName.name)[\(facts.clientAddress)]" : facts.clientText }

    /// `CODE STATUS <X>: CLASS rejected: TEXT` about the datum of the list at work.
    func rejection(_ code: Int, _ status: EnhancedStatusCode, _ text: String) -> Reply {
        if let accessSubject { return accessSubject.rejection(code, status, text) }
        return Replies.make(code, status, "<\(subject)>: \(kind.replyClass) rejected: \(text)")
    }
}
