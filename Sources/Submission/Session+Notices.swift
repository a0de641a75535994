import Cleanup
import HandOff
import MailLog
import NIOCore
import Notices
import Restrictions
import Routing
import SMTPCore

extension Session {
    /// Something happened that `notify_classes` may want the postmaster to hear of, once the session is over.
    func note(_ event: NoticeClasses) {
        isNoted = true
        if transcript == nil {
            guard policy.notices.recipient(of: event) != nil else { return }
            beginTranscript()
        }
        transcript?.events.formUnion(event)
    }

    /// With the default classes nothing is written down before there is a reason to: what is known of the session by then stands for it.
    @inline(never)
    private func beginTranscript() {
        var known = " (recorded from here on, after \(lastState)"
        if let helo = facts.heloName { known += ", helo=<\(Self.printable(helo.utf8.prefix(256)))>" }
        known += " proto=\(protocolName)"
        if let transaction {
            known += " from=<\(Self.printable(transaction.sender.description.utf8.prefix(256)))>"
            if let first = transaction.firstRecipient { known += " to=<\(Self.printable(first.description.utf8.prefix(256)))>" }
            if transaction.recipients.count > 1 { known += " and \(transaction.recipients.count - 1) more" }
        }
        transcript = SessionTranscript(beginningWith: known + ")")
    }

    /// Hands the notice to the queue as any message; the connection is closed by now. A notice that cannot be handed on is given up.
    @inline(never)
    func notifyPostmaster(_ transcript: SessionTranscript) async {
        guard let recipient = policy.notices.recipient(of: transcript.events) else { return }
        switch service.registry.notices.ask("\(policy.limits.network(of: clientAddress))") {
        case .heldBack(let isFirst):
            if isFirst { log.warning("too many sessions with errors: notices about them, such as \(clientText), are held back") }
        case .granted(let heldBack):
            if heldBack > 0 { log.info("\(heldBack) notices about sessions with errors have been held back") }
            do throws(HandOffFailure) {
                try await submit(transcript, to: recipient, heldBack: heldBack)
            } catch {
                log.warning("notice to <\(recipient)> about \(clientText) dropped: \(error)")
            }
        }
    }

    private func submit(_ transcript: SessionTranscript, to given: Address, heldBack: Int) async throws(HandOffFailure) {
        var warnings: [String] = []
        let router = service.router
        let addresses: [Address]
        do throws(AddressMapFailure) {
            addresses = try await policy.content.maps.expand(router.rewrite(given), router, warnings: &warnings).recipients
        } catch { throw .unavailable(error.text) }
        for text in warnings { cleanupLog.warning(text) }
        for address in addresses where Self.hasNoWayOut(await router.resolve(address, sender: policy.notices.sender)) {
            throw .unavailable("no way out for mail to \(address)")
        }
        let id = try await handOff.reserveQueueID()
        let date = MailTime.now()
        let messageID = "<\(date.compactUTC).\(id)@\(policy.host)>"
        let notice = SessionNotice(role: "SMTP server", peer: clientText, recipient: given, transcript: transcript, heldBack: heldBack)
        let content = notice.write(id: id, date: date.headerDate, messageID: messageID, settings: policy.notices)
        let envelope = Envelope(sender: policy.notices.sender, recipients: addresses.map { Recipient(address: $0) })
        let transfer = handOff.begin(id, envelope)
        try await transfer.write(ByteBuffer(string: content))
        cleanupLog.info("\(id): message-id=\(messageID)")
        try await transfer.commit()
    }
}
