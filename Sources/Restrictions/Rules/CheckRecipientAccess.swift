import Routing
import SMTPCore
import Tables

/// `check_recipient_access`: the recipient and its parts. A permit does not count for routing specified by the sender.
struct CheckRecipientAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let recipient = run.facts.recipient, !recipient.isNull else { return .dunno }
        let subject = AccessSubject(name: recipient.internalForm, replyClass: "Recipient address", kind: .recipient)
        let verdict = await run.checkMailbox(recipient, table, subject)
        guard case .permit = verdict, !run.environment.allowsUntrustedRouting else { return verdict }
        return await run.resolveRecipient(recipient).hasSenderSpecifiedRouting ? .dunno : verdict
    }
}
