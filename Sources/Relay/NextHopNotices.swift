import LoopTask
import MailLog
import NIOCore
import Notices
import SMTPCore
import Spool

/// Tells the postmaster of sessions with next hops (`notify_classes` of the transport). One for the process; any loop.
struct NextHopNotices: Sendable {
    let log: MailLog
    let ledger: any DeliveryLedger
    let budget: NoticeBudget

    /// The session is over. Its notice is written beside it; one that cannot be written is given up.
    func sessionEnded(_ transcript: SessionTranscript, with endpoint: Endpoint, _ settings: ClientSettings, on loop: any EventLoop) {
        guard let recipient = settings.notices.recipient(of: transcript.events) else { return }
        let log = log.with(tag: "\(settings.syslogName)/\(settings.dialect.rawValue)")
        switch budget.ask(endpoint.host) {
        case .heldBack(let isFirst):
            if isFirst { log.warning("too many sessions with errors: notices about them, such as \(endpoint.label), are held back") }
        case .granted(let heldBack):
            if heldBack > 0 { log.info("\(heldBack) notices about sessions with errors have been held back") }
            let notice = SessionNotice(
                role: settings.dialect == .lmtp ? "LMTP client" : "SMTP client",
                peer: endpoint.labelWithPort,
                recipient: recipient,
                transcript: transcript,
                summary: transcript.events.contains(.protocol) ? "A reply was not what SMTP has in that place." : nil,
                heldBack: heldBack
            )
            startLoopTask(on: LoopExecutor(loop)) { await write(notice, settings, log) }
        }
    }

    private func write(_ notice: SessionNotice, _ settings: ClientSettings, _ log: MailLog) async {
        do {
            let id = try await ledger.reserveQueueID()
            let now = WallClock.now()
            let messageID = "<\(MailDate.compact(now)).\(id)@\(settings.notices.myHostname)>"
            let content = notice.write(id: id, date: MailDate.header(now), messageID: messageID, settings: settings.notices)
            let envelope = Envelope(sender: settings.notices.sender, recipients: [Recipient(address: notice.recipient)])
            log.with(tag: "\(settings.syslogName)/cleanup").info("\(id): message-id=\(messageID)")
            try await ledger.submit(GeneratedMessage(id: id, envelope: envelope, content: ByteBuffer(string: content)))
        } catch {
            log.warning("notice to <\(notice.recipient)> about \(notice.peer) dropped: \(error)")
        }
    }
}

extension ServerReply {
    /// The server says that it does not know the command, or that it has no such syntax or parameter: one of the two does not speak SMTP.
    var isOfSyntax: Bool { (500...504).contains(code) || code == 555 }
}

extension ClientConnection {
    /// The end of a conversation, as far as it is one for a notice. That a connection is lost is none, as with Postfix: the log has it.
    func note(_ failure: ConversationFailure, _ settings: NoticeSettings) {
        switch failure {
        case .lostConnection: transcript?.abortReason = "lost connection"
        case .timedOut: transcript?.abortReason = "timeout"
        case .protocolViolation: note(.protocol, settings)
        case .contentUnreadable: note(.resource, settings)
        }
    }
}
