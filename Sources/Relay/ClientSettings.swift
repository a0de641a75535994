import Authentication
import NIOCore
import Notices
import Resolver
import Routing
import SMTPCore
import Settings
import TLS
import Tables

/// The parameters of one smtp(8) or lmtp(8) transport, parsed once.
struct ClientSettings: Sendable {
    enum Dialect: String, Sendable {
        case smtp
        case lmtp
    }

    struct Timeouts: Sendable {
        var connect: TimeAmount
        var helo: TimeAmount
        var startTLS: TimeAmount
        var mail: TimeAmount
        var rcpt: TimeAmount
        var dataInit: TimeAmount
        var dataTransfer: TimeAmount
        var dataDone: TimeAmount
        var rset: TimeAmount
    }

    struct Reuse: Sendable {
        var onDemand: Bool
        var destinations: Set<String>
        /// How long an idle connection waits for the next message.
        var idleLimit: TimeAmount
        /// Age at which a connection takes no more messages.
        var timeLimit: TimeAmount
        /// 0 is no limit.
        var countLimit: Int
    }

    enum AddressPreference: String, Sendable {
        case any
        case ipv4
        case ipv6
    }

    var dialect: Dialect
    var syslogName: String
    /// `notify_classes`, and who is told.
    var notices: NoticeSettings
    var myHostname: String
    var heloName: String
    /// EHLO even to a server whose greeting does not say ESMTP.
    var alwaysSendEHLO: Bool
    var neverSendEHLO: Bool
    var defaultPort: Int
    var timeouts: Timeouts
    var reuse: Reuse
    var queueDirectory: String
    var usesIPv4: Bool
    var usesIPv6: Bool
    var addressPreference: AddressPreference
    /// Hosts of equal preference, and the addresses of a host, are tried in random order (`smtp_randomize_addresses`).
    var randomizesAddresses: Bool
    var usesDNS: Bool
    /// How next hops beyond ASCII become what the DNS has.
    var domainEncoder: DomainEncoder
    /// 0 is no limit.
    var addressLimit: Int
    /// 0 is no limit.
    var sessionLimit: Int
    var fallbackRelay: [String]
    var bindAddress: IPAddress?
    var bindAddress6: IPAddress?
    var ignoresMXLookupErrors: Bool
    var defersWithoutMXAddress: Bool
    var skips5xxGreeting: Bool
    var discardedKeywords: Set<String>
    /// 0 is no limit.
    var lineLengthLimit: Int
    /// Content of eight bits is converted for a server without 8BITMIME (unless `disable_mime_output_conversion`).
    var convertsEightBit: Bool
    var minimalBackoff: TimeAmount
    var ownAddresses: Set<IPAddress>
    var tls: ClientTLSSettings
    var sasl: ClientSASLSettings?
}

/// `smtp_tls_*`.
struct ClientTLSSettings: Sendable {
    enum Level: String, Sendable {
        case none
        case may
        case encrypt
    }

    var level: Level
    /// TLS from the first byte (`smtp_tls_wrappermode`).
    var isWrapped: Bool
    var logLevel: Int
    var notesOffers: Bool
    /// SNI to send (`smtp_tls_servername`); nil sends none.
    var serverName: String?
    /// nil while the level is `none`.
    var context: TLSContext?
}

/// `smtp_sasl_*`.
struct ClientSASLSettings: Sendable {
    var passwords: TableList
    /// How senders are looked up; nil without `smtp_sender_dependent_authentication`.
    var senderLookup: AddressLookup?
    var securityOptions: SASLSecurityOptions
    var tlsSecurityOptions: SASLSecurityOptions
    var mechanismFilter: MechanismFilter
    /// 5xx to AUTH defers instead of bouncing (`smtp_sasl_auth_soft_bounce`).
    var softBounce: Bool
    var sendsAuthorizationID: Bool
}
