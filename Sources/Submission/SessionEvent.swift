import Notices
import Restrictions
import SMTPCore

/// What went wrong in a session, as `notify_classes` sorts it. Compared with smtpd(8) in each case.
struct SessionEvent: Sendable, Hashable {
    let notice: NoticeClasses

    /// What the restriction lists came to; nil when they refused nothing.
    init?(of decision: Decision) {
        guard let reply = decision.rejection else {
            // A refusal that `warn_if_reject` turned into a line of the log counts as one.
            guard decision.notices.contains(where: { $0.verb == "reject_warning" }) else { return nil }
            notice = .policy
            return
        }
        let isTemporaryLookup = reply.code == 451 && reply.lines.first?.hasSuffix("Temporary lookup failure") == true
        if isTemporaryLookup {
            notice = .data
        } else if reply.lines.first == "Server configuration error" {
            notice = .software
        } else {
            // That an address does not exist is no policy.
            notice = Self.unlisted.contains(decision.trace.last?.restriction ?? "") ? .bounce : .policy
        }
    }

    private static let unlisted: Set<String> = [
        "reject_unlisted_recipient", "reject_unlisted_sender", "smtpd_reject_unlisted_recipient", "smtpd_reject_unlisted_sender",
    ]

    /// The refusal of a command by the session itself. nil for what Postfix tells nobody of: failed logins, a client that was asked to use TLS
    /// first, DATA after refused recipients.
    init?(of reply: Reply, to verb: String) {
        switch (reply.code, reply.status.map { [$0.subject, $0.detail] } ?? []) {
        case (452, [3, 1]): notice = .resource
        case (451, [3, 0]) where reply == Session.writeError: notice = .resource
        case (451, [3, 0]) where reply == Session.internalError: notice = .software
        case (421, [3, 0]), (451, [3, 0]): notice = .data
        case (451, _): notice = .software
        case (450, [7, 1]), (452, [5, 3]): notice = .policy
        case (552, [3, 4]) where reply == VerbTable.tooBig: notice = .bounce
        case (552, [3, 4]), (550, [7, 0]), (503, [7, 0]): notice = .policy
        case (503, [5, 1]) where reply == VerbTable.needHelo: notice = .policy
        case (502, [5, 1]) where verb == "VRFY": notice = .policy
        case (554, [4, 0]): notice = .bounce
        case (530, _), (554, [5, 1]), (459, _), (458, _), (553, [6, 7]): return nil
        case (535, _), (454, _), (501, [7, 0]), (500, [5, 6]): return nil
        default: notice = .protocol
        }
    }
}
