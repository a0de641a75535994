import Cleanup
import NIOCore
import Notices
import Routing
import SMTPCore
package import Settings
package import Tables

/// Every parameter a session reads, parsed once when the service is set up. Names are those of main.cf without the `smtpd_` prefix.
///
/// A class only so that sessions hold a pointer instead of copies of a large value (Docs/performance.md).
package final class SessionPolicy: Sendable {
    package let serviceName: String
    let syslogTag: String
    let host: String
    let mailName: String
    let banner: String
    let timeout: TimeAmount
    let limits: SessionLimits
    let tls: SessionTLSPolicy
    let sasl: SessionSASLPolicy
    let pipelining: PipeliningPolicy
    let bareNewline: BareNewlinePolicy
    let heloRequired: Bool
    let peerNameLookup: Bool
    let clientPortLogging: Bool
    let delayReject: Bool
    let strictEnvelopes: Bool
    let disableVRFY: Bool
    let softBounce: Bool
    /// `smtputf8_enable`: SMTPUTF8 is offered, and command lines must be UTF-8.
    let checksUTF8: Bool
    /// `strict_smtputf8`.
    let strictUTF8: Bool
    /// `smtputf8_autodetect_classes = all`: mail is looked at for what needs SMTPUTF8, whatever the client said.
    let flagsAllUTF8: Bool
    let discardedKeywords: DiscardedKeywordsPolicy
    /// `smtpd_command_filter`.
    let commandFilter: TableList
    let noopCommands: WordList
    let forbiddenCommands: WordList
    let content: ContentPolicy
    let proxy: ProxyPolicy
    let trust: TrustPolicy
    let rejectFooter: RejectFooterPolicy
    let deadline: DeadlinePolicy
    /// `notify_classes`, and who is told.
    let notices: NoticeSettings
    /// `inet_protocols`: which addresses a proxy may name.
    let acceptsIPv4: Bool
    let acceptsIPv6: Bool

    package init(_ settings: ServiceSettings, tables: TableRegistry, ownAddresses: OwnAddresses) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let limits = problems.collect(try SessionLimits(settings, tables: tables))
        let tls = problems.collect(try SessionTLSPolicy(settings))
        let sasl = problems.collect(try SessionSASLPolicy(settings, tables: tables))
        let bareNewline = problems.collect(try BareNewlinePolicy(settings, tables: tables))
        let discardedKeywords = problems.collect(try DiscardedKeywordsPolicy(settings, tables: tables))
        let commandFilter = problems.collect(try tables.list(ofParameter: "smtpd_command_filter", settings))
        let noopCommands = problems.collect(try WordList(settings, "smtpd_noop_commands", tables: tables))
        let forbiddenCommands = problems.collect(try WordList(settings, "smtpd_forbidden_commands", tables: tables))
        let content = problems.collect(try ContentPolicy(settings, tables: tables, ownAddresses: ownAddresses))
        let trust = problems.collect(try TrustPolicy(settings, tables: tables))
        let rejectFooter = problems.collect(try RejectFooterPolicy(settings, tables: tables))
        guard let limits, let tls, let sasl, let bareNewline, let discardedKeywords, let commandFilter,
            let noopCommands, let forbiddenCommands, let content, let trust, let rejectFooter
        else { throw problems.error }
        serviceName = settings.serviceName
        syslogTag = settings.text("syslog_name") + "/smtpd"
        host = settings.text("myhostname")
        mailName = settings.text("mail_name")
        banner = settings.text("smtpd_banner")
        timeout = settings.timeAmount("smtpd_timeout")
        self.limits = limits
        self.tls = tls
        self.sasl = sasl
        pipelining = PipeliningPolicy(isForbidden: settings.bool("smtpd_forbid_unauth_pipelining"))
        self.bareNewline = bareNewline
        heloRequired = settings.bool("smtpd_helo_required")
        peerNameLookup = settings.bool("smtpd_peername_lookup")
        clientPortLogging = settings.bool("smtpd_client_port_logging")
        delayReject = settings.bool("smtpd_delay_reject")
        strictEnvelopes = settings.bool("strict_rfc821_envelopes")
        disableVRFY = settings.bool("disable_vrfy_command")
        softBounce = settings.bool("soft_bounce")
        checksUTF8 = settings.bool("smtputf8_enable")
        strictUTF8 = settings.bool("strict_smtputf8")
        flagsAllUTF8 = checksUTF8 && settings.list("smtputf8_autodetect_classes").contains("all")
        self.discardedKeywords = discardedKeywords
        self.commandFilter = commandFilter
        self.noopCommands = noopCommands
        self.forbiddenCommands = forbiddenCommands
        self.content = content
        proxy = ProxyPolicy(settings)
        self.trust = trust
        self.rejectFooter = rejectFooter
        deadline = DeadlinePolicy(settings)
        notices = NoticeSettings(settings)
        let protocols = settings.keywords("inet_protocols")
        acceptsIPv4 = protocols.contains("all") || protocols.contains("ipv4")
        acceptsIPv6 = protocols.contains("all") || protocols.contains("ipv6")
    }
}

/// `smtpd_forbid_unauth_pipelining`.
struct PipeliningPolicy: Sendable {
    var isForbidden: Bool
}

/// Numbers that bound a session.
struct SessionLimits: Sendable {
    let softErrors: Int
    let hardErrors: Int
    let errorSleep: TimeAmount
    let junkCommands: Int
    let recipients: Int
    let recipientOvershoot: Int
    let lineLength: Int
    let messageSize: Int
    let connectionCount: Int
    let connectionRate: Int
    let messageRate: Int
    let recipientRate: Int
    let authRate: Int
    let newTLSSessionRate: Int
    /// `smtpd_client_ipv4_prefix_length`, `smtpd_client_ipv6_prefix_length`: how much of an address makes one client.
    let ipv4PrefixLength: Int
    let ipv6PrefixLength: Int
    /// `smtpd_client_event_limit_exceptions`.
    let exceptions: NetworkList

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        softErrors = settings.integer("smtpd_soft_error_limit")
        hardErrors = settings.integer("smtpd_hard_error_limit")
        errorSleep = settings.timeAmount("smtpd_error_sleep_time")
        junkCommands = settings.integer("smtpd_junk_command_limit")
        recipients = settings.integer("smtpd_recipient_limit")
        recipientOvershoot = settings.integer("smtpd_recipient_overshoot_limit")
        lineLength = settings.integer("line_length_limit")
        messageSize = settings.integer("message_size_limit")
        connectionCount = settings.integer("smtpd_client_connection_count_limit")
        connectionRate = settings.integer("smtpd_client_connection_rate_limit")
        messageRate = settings.integer("smtpd_client_message_rate_limit")
        recipientRate = settings.integer("smtpd_client_recipient_rate_limit")
        authRate = settings.integer("smtpd_client_auth_rate_limit")
        newTLSSessionRate = settings.integer("smtpd_client_new_tls_session_rate_limit")
        ipv4PrefixLength = settings.integer("smtpd_client_ipv4_prefix_length")
        ipv6PrefixLength = settings.integer("smtpd_client_ipv6_prefix_length")
        exceptions = try NetworkList(settings, "smtpd_client_event_limit_exceptions", tables: tables)
    }

    /// What counts as one client: one host may have a whole IPv6 network of addresses.
    func network(of client: IPAddress) -> IPNetwork {
        let client = client.unmapped
        let length = min(client.bitWidth, client.bitWidth == 32 ? ipv4PrefixLength : ipv6PrefixLength)
        return IPNetwork(masking: client, prefixLength: length)
    }
}

/// `smtpd_forbid_bare_newline` and its exclusions.
struct BareNewlinePolicy: Sendable {
    enum Mode: Sendable {
        case allow, normalize, note, reject
    }

    let mode: Mode
    let exclusions: NetworkList
    let rejectCode: Int

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        let text = settings.text("smtpd_forbid_bare_newline").lowercased()
        switch text {
        case "no": mode = .allow
        case "yes", "normalize": mode = .normalize
        case "note": mode = .note
        case "reject": mode = .reject
        default:
            throw ConfigurationError(
                "smtpd_forbid_bare_newline: \"\(text)\" is none of no, yes, normalize, note, reject",
                at: settings.location(of: "smtpd_forbid_bare_newline")
            )
        }
        exclusions = try NetworkList(settings, "smtpd_forbid_bare_newline_exclusions", tables: tables)
        rejectCode = settings.integer("smtpd_forbid_bare_newline_reject_code")
    }
}
