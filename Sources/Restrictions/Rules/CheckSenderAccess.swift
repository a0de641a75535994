import SMTPCore
import Tables

/// `check_sender_access`: the sender and its parts; the null sender as `smtpd_null_access_lookup_key`.
struct CheckSenderAccess: Rule {
    let table: any LookupTable

    func evaluate(_ run: Evaluation) async -> Verdict {
        guard let sender = run.facts.sender else { return .dunno }
        let subject = AccessSubject(name: sender.internalForm, replyClass: "Sender address", kind: .sender)
        if sender.isNull {
            return run.conclude(await AccessKeys(table: table).whole(run.environment.nullSenderKey), from: table, about: subject)
        }
        return await run.checkMailbox(sender, table, subject)
    }
}
