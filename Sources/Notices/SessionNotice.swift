package import SMTPCore

/// The mail that tells the postmaster of one session: a transcript, in the layout of Postfix's notices.
package struct SessionNotice: Sendable {
    /// `SMTP server`, `SMTP client` or `LMTP client`: what we were.
    package var role: String
    /// `name[address]` of the other side.
    package var peer: String
    package var recipient: Address
    /// Of ``SessionTranscript/text``.
    package var transcript: String
    /// What the session came to, ahead of the transcript.
    package var summary: String?
    package var abortReason: String?
    /// Notices that ``NoticeBudget`` has held back since the last one.
    package var heldBack: Int

    package init(
        role: String,
        peer: String,
        recipient: Address,
        transcript: SessionTranscript,
        summary: String? = nil,
        heldBack: Int = 0
    ) {
        self.role = role
        self.peer = peer
        self.recipient = recipient
        self.transcript = transcript.text
        self.summary = summary
        abortReason = transcript.abortReason
        self.heldBack = heldBack
    }

    /// The message, with CRLF line ends.
    /// - Parameters:
    ///   - date: as the Date header has it.
    ///   - messageID: with its angle brackets.
    package func write(id: QueueID, date: String, messageID: String, settings: NoticeSettings) -> String {
        var out = """
            Received: by \(settings.myHostname) (\(settings.mailName))
            \tid \(id); \(date)
            Date: \(date)
            From: Mail Delivery System <MAILER-DAEMON@\(settings.myHostname)>
            To: Postmaster <\(recipient)>
            Subject: \(settings.mailName) \(role): errors from \(peer)
            Message-Id: \(messageID)
            Auto-Submitted: auto-generated


            """
        if let summary { out += summary + "\n\n" }
        out += "Transcript of session follows.\n\n" + transcript
        if let abortReason { out += "\nSession aborted, reason: \(abortReason)\n" }
        if heldBack > 0 { out += "\n\(heldBack) notices about other sessions were held back before this one.\n" }
        out += "\nThe mail log has more about this session.\n"
        return out.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\r\n")
    }
}
