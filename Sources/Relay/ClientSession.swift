import Authentication
import NIOCore
import Notices
import SMTPCore

/// A connection past its handshake, ready for messages. Confined to its loop.
final class ClientSession {
    let connection: ClientConnection
    let endpoint: Endpoint
    let settings: ClientSettings
    let capabilities: ServerCapabilities
    /// Who we authenticated as: a message that needs another login cannot use this connection.
    let credentials: SASLClient.Credentials?
    /// The login looked up for it; not in use where the server offers no AUTH.
    var wanted: SASLClient.Credentials?
    let opened: NIODeadline
    private let notices: NextHopNotices
    /// Messages carried, the present one included (`conn_use=`).
    var uses = 0
    /// The server holds part of a transaction: RSET goes ahead of the next MAIL.
    var needsReset = false
    /// The server said 421, or the conversation broke down.
    var isSpent = false

    init(
        connection: ClientConnection,
        endpoint: Endpoint,
        settings: ClientSettings,
        capabilities: ServerCapabilities,
        credentials: SASLClient.Credentials?,
        opened: NIODeadline,
        notices: NextHopNotices
    ) {
        self.notices = notices
        self.connection = connection
        self.endpoint = endpoint
        self.settings = settings
        self.capabilities = capabilities
        self.credentials = credentials
        self.opened = opened
    }

    /// Whether another message may go over this connection.
    func isReusable(at now: NIODeadline) -> Bool {
        guard !isSpent, connection.isOpen, !connection.feeder.hasReply else { return false }
        // The limit counts reuses: the first message is not one.
        if settings.reuse.countLimit > 0, uses > settings.reuse.countLimit { return false }
        return now - opened < settings.reuse.timeLimit
    }

    func end() {
        isSpent ? connection.close() : connection.quit()
        guard let transcript = connection.transcript else { return }
        connection.transcript = nil
        notices.sessionEnded(transcript, with: endpoint, settings, on: connection.channel.eventLoop)
    }

    /// `host X said: REPLY (in reply to COMMAND command)`.
    func said(_ reply: ServerReply, inReplyTo command: String) -> DeliveryFailure {
        let text = reply.logText
        if reply.code == 421 { isSpent = true }
        if reply.code < 400 || reply.isOfSyntax { connection.note(.protocol, settings.notices) }
        guard reply.code >= 400 else {
            // A 2xx or 3xx where it makes no sense: the two sides no longer mean the same command.
            isSpent = true
            return DeliveryFailure(
                EnhancedStatusCode(4, 5, 0),
                "protocol error: host \(endpoint.label) said: \(text) (in reply to \(command) command)",
                remoteMTA: endpoint.host
            )
        }
        return DeliveryFailure(
            reply.effectiveStatus,
            "host \(endpoint.label) said: \(text) (in reply to \(command) command)",
            remoteMTA: endpoint.host,
            diagnostic: text
        )
    }

    func broken(_ failure: ConversationFailure, during phase: Phase) -> DeliveryFailure {
        isSpent = true
        connection.note(failure, settings.notices)
        return Self.describe(failure, during: phase, with: endpoint)
    }

    static func describe(_ failure: ConversationFailure, during phase: Phase, with endpoint: Endpoint) -> DeliveryFailure {
        switch failure {
        case .lostConnection:
            DeliveryFailure(
                EnhancedStatusCode(4, 4, 2),
                "lost connection with \(endpoint.label) while \(phase.rawValue)",
                remoteMTA: endpoint.host
            )
        case .timedOut:
            DeliveryFailure(
                EnhancedStatusCode(4, 4, 2),
                "conversation with \(endpoint.label) timed out while \(phase.rawValue)",
                remoteMTA: endpoint.host
            )
        case .protocolViolation(let violation):
            DeliveryFailure(
                EnhancedStatusCode(4, 5, 0),
                "protocol error: host \(endpoint.label) sent \(violation.text) while \(phase.rawValue)",
                remoteMTA: endpoint.host
            )
        case .contentUnreadable(let reason):
            DeliveryFailure(EnhancedStatusCode(4, 3, 0), "queue file read error: \(reason)")
        }
    }
}

extension ReplyParser.Failure {
    /// For the log: what the server did.
    var text: String {
        switch self {
        case .malformedLine(let line): "a line that is no reply: \(line)"
        case .replyTooLong: "a reply without end"
        case .tooManyReplies: "replies to no command"
        }
    }
}
