import Cleanup
import HandOff
import MailLog
import NIOCore
import Notices
import Resolver
import Restrictions
import SMTPCore
import TLS

/// One SMTP connection: greeting, commands, end. Read ``run()`` first.
///
/// Not an actor and not Sendable: it lives in one task on its channel's loop (Docs/design.md, section 4), so its state needs no lock and no
/// await stands between looking and acting, unless the code says `await`.
final class Session {
    let service: SubmissionService
    let feeder: SessionFeeder
    let handOff: any MessageHandOff
    /// The client as the log and the rules know it: the other end of the connection, or whom a proxy names (PROXY, XCLIENT).
    var clientAddress: IPAddress
    /// Negative when XCLIENT has said that nobody knows it.
    var clientPort: Int
    var serverAddress: String
    /// Stands for a process id in the log.
    let number: Int

    var log: MailLog
    /// `name[addr]`, with the port when `smtpd_client_port_logging` says so.
    var clientText = ""
    /// What the rules know: the client, HELO, TLS, login, and the current transaction.
    var facts: SessionFacts

    /// EHLO has been said.
    var isExtended = false
    /// Settled anew by each HELO and EHLO.
    var hiddenKeywords: EHLOKeywords
    var tls: TLSFacts?
    var transaction: Transaction?
    /// BDAT is in progress.
    var chunks: ChunkedMessage?
    /// For a notice to the postmaster; nil unless `notify_classes` asks for one, as far as is known.
    var transcript: SessionTranscript?
    /// With `smtpd_delay_reject = no`: the client was turned away at connect; only QUIT works.
    var denial: Reply?
    /// `defer_if_permit` of the connect and HELO stages.
    var pendingDeferral: Reply?
    /// Excluded from `smtpd_forbid_bare_newline`, or that is off.
    var allowsBareNewline = false
    /// Not counted and not limited (`smtpd_client_event_limit_exceptions`).
    var isExemptFromLimits = false
    var isCountedConnection = false
    /// `smtpd_authorized_xclient_hosts`, looked at again after each XCLIENT.
    var isXClientAuthorized = false
    /// `smtpd_authorized_xforward_hosts`.
    var isXForwardAuthorized = false
    /// `smtpd_authorized_verp_clients`.
    var isVERPAuthorized = false
    /// What XFORWARD said about the message to come.
    var forwarded: ForwardedOrigin?

    var errorCount = 0
    var commandsSinceYield = 0
    var junkCount = 0
    var statistics = CommandStatistics()
    var sawBareLineFeed = false
    /// The present command has been put in a class of notices.
    var isNoted = false
    /// What the client last did, for `lost connection after ...`.
    var lastState = "CONNECT"
    var isClosing = false
    /// The connection is gone or has been given up; nothing can be sent.
    var isLost = false
    var output = ByteBuffer()

    var policy: SessionPolicy { service.policy }

    init(_ service: SubmissionService, _ feeder: SessionFeeder, _ handOff: any MessageHandOff, _ peer: Peer, number: Int) {
        self.service = service
        self.feeder = feeder
        self.handOff = handOff
        hiddenKeywords = service.policy.discardedKeywords.keywords
        clientAddress = peer.address
        clientPort = peer.port
        serverAddress = peer.serverAddress
        self.number = number
        log = MailLog(sink: service.logSink, tag: service.policy.syslogTag, processID: number)
        facts = SessionFacts(clientAddress: peer.address, peerName: .unknown)
    }

    /// The two ends of the connection.
    struct Peer {
        var address: IPAddress
        var port: Int
        var serverAddress: String
    }

    /// The whole life of the connection.
    ///
    /// What it calls is kept out of line: the frame of this function lives as long as the client stays, and an idle connection should not
    /// pay for the locals of everything that was ever done for it.
    func run() async {
        await open()
        while !isClosing, let line = await nextCommand() {
            await perform(line)
        }
        await close()
    }

    @inline(never)
    private func close() async {
        endTransaction()
        await flush()
        // What lingers is no connection any more for the client's other ones.
        if isCountedConnection { service.limits.disconnect(service: policy.serviceName, client: policy.limits.network(of: clientAddress)) }
        if tls == nil, !isLost, lastState != "QUIT" { await linger() }
        // Nothing to flush for a lost client; a TLS handshake that never came would hold it back.
        feeder.closeWhenFlushed(within: isLost ? .zero : .seconds(10))
        logDisconnect()
        if let transcript { await notifyPostmaster(transcript) }
        service.registry.remove(number)
    }

    /// Lets a client that is still sending read our last reply: closing with unread input resets the connection, and the reply is lost.
    private func linger() async {
        feeder.closeOutput()
        let deadline = NIODeadline.now() + .seconds(2)
        while !feeder.hasEnded, NIODeadline.now() < deadline {
            feeder.input = ByteBuffer()
            await feeder.wait(until: deadline)
        }
    }

    @inline(never)
    private func logDisconnect() {
        let notes = sawBareLineFeed && policy.bareNewline.mode == .note ? " notes=bare_lf" : ""
        log.info("disconnect from \(clientText)\(statistics.summary)\(notes)")
    }

    /// Forgets the current message, if any.
    func endTransaction() {
        // What XFORWARD said was about this message, unless it was refused at MAIL.
        if transaction?.recipients.isEmpty == false { forwarded = nil }
        transaction = nil
        if let message = chunks {
            message.reception?.abort()
            chunks = nil
        }
        facts.sender = nil
        facts.isUTF8 = false
        facts.recipient = nil
        facts.recipientCount = 0
        facts.isHeld = false
    }
}
