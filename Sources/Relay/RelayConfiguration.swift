import NIOCore
import Notices
package import SMTPCore
package import Settings
package import Tables

/// Everything the relay takes from the configuration, parsed once. `init` opens tables, keys and trust anchors, so it is called while the
/// process may still read them.
package struct RelayConfiguration: Sendable {
    package let catalogue: TransportCatalogue
    var queue: QueueSettings
    let bounce: BounceSettings

    /// - Parameters:
    ///   - main: main.cf without overrides.
    ///   - transports: the lines of master.cf that name transports, those of unknown kinds included.
    ///   - ownAddresses: the addresses of `inet_interfaces` and `proxy_interfaces`: mail that would go there comes back.
    /// - Throws: every problem found.
    package init(
        main: ServiceSettings,
        transports: [TransportService],
        tables: TableRegistry,
        ownAddresses: [IPAddress]
    ) throws(ConfigurationError) {
        var problems: [Diagnostic] = []
        queue = QueueSettings(main)
        bounce = BounceSettings(main)
        catalogue = TransportCatalogue(
            transports,
            main: main,
            tables: tables,
            ownAddresses: Set(ownAddresses.map(\.unmapped)),
            problems: &problems
        )
        problems += Self.unreadableNextHops(main, transports)
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }
}

extension RelayConfiguration {
    /// Next hops of main.cf that no delivery could use: mail for them would wait until it expires.
    private static func unreadableNextHops(_ main: ServiceSettings, _ transports: [TransportService]) -> [Diagnostic] {
        func problems(_ parameter: String, _ text: String, _ transport: String) -> [Diagnostic] {
            let command = transports.first { $0.name == transport }?.command ?? ""
            guard let dialect = ClientSettings.Dialect(rawValue: command) else { return [] }
            let odd = NextHop.parts(of: text).filter { NextHop($0, dialect: dialect, defaultPort: 25) == nil }
            return odd.map { Diagnostic(.error, "\(parameter): \"\($0)\" is not a next hop", at: main.cause(of: parameter)) }
        }
        let parameters = [
            "default_transport", "local_transport", "virtual_transport", "relay_transport", "mailbox_transport", "fallback_transport",
            "content_filter",
        ]
        return parameters.flatMap { parameter in
            let words = main.text(parameter).split(separator: ":", maxSplits: 1).map(String.init)
            return words.count == 2 ? problems(parameter, words[1], words[0]) : []
        } + problems("relayhost", main.text("relayhost"), main.text("default_transport").prefix { $0 != ":" }.description)
    }
}

/// qmgr(8)'s share.
struct QueueSettings: Sendable {
    var syslogName: String
    var minimalBackoff: TimeAmount
    /// `defer_transports`.
    var deferredTransports: Set<String>
    /// `default_filter_nexthop`: for filters that name none.
    var filterNextHop: String
    /// Connections at a time, over all destinations. What waits for one holds no descriptor.
    var connectionLimit = 500

    init(_ settings: ServiceSettings) {
        syslogName = settings.text("syslog_name")
        minimalBackoff = settings.timeAmount("minimal_backoff_time")
        deferredTransports = Set(settings.list("defer_transports"))
        filterNextHop = settings.text("default_filter_nexthop")
    }
}

/// bounce(8)'s share.
struct BounceSettings: Sendable {
    var syslogName: String
    var myHostname: String
    var mailName: String
    /// `bounce_size_limit`: a longer message is returned as its header only. 0 is no limit.
    var sizeLimit: Int
    /// `disable_verp_bounces`: bounces of mail sent with XVERP go to its plain sender.
    var disablesVERPBounces: Bool
    /// What cannot be returned because it came from nobody goes to the postmaster (`notify_classes` has `2bounce`, or `bounce`).
    var notifiesDoubleBounces: Bool
    /// `2bounce_notice_recipient`.
    var doubleBounceRecipient: Address
    /// `bounce_notice_recipient`: has a copy of each bounce's header, where `notify_classes` has `bounce`.
    var bounceNoticeRecipient: Address?
    /// `double_bounce_sender`: notices about its mail end here.
    var doubleBounceSender: Address
    /// `delay_warning_time`, seconds: the sender of older mail is told that it waits. 0 is never.
    var delayWarningTime: Double
    /// `confirm_delay_cleared`: who was told of a delay is told of the delivery.
    var confirmsDelayCleared: Bool
    /// `delay_notice_recipient`: has a copy, where `notify_classes` has `delay`.
    var delayNoticeRecipient: Address?
    /// `maximal_queue_lifetime`, seconds: until then mail is tried again.
    var maximalQueueLifetime: Double

    init(_ settings: ServiceSettings) {
        syslogName = settings.text("syslog_name")
        myHostname = settings.text("myhostname")
        mailName = settings.text("mail_name")
        sizeLimit = settings.integer("bounce_size_limit")
        disablesVERPBounces = settings.bool("disable_verp_bounces")
        let notices = NoticeSettings(settings)
        notifiesDoubleBounces = notices.classes.contains(.doubleBounce)
        doubleBounceRecipient = notices.doubleBounceRecipient
        bounceNoticeRecipient = notices.classes.contains(.bounce) ? notices.bounceRecipient : nil
        doubleBounceSender = notices.sender
        delayWarningTime = settings.seconds("delay_warning_time")
        confirmsDelayCleared = settings.bool("confirm_delay_cleared")
        delayNoticeRecipient = notices.classes.contains(.delay) ? notices.delayRecipient : nil
        maximalQueueLifetime = settings.seconds("maximal_queue_lifetime")
    }
}

extension ServiceSettings {
    func seconds(_ name: String) -> Double { Double(duration(name).components.seconds) }

    func timeAmount(_ name: String) -> TimeAmount {
        // Beyond a century is "never", and must not overflow the monotonic clock.
        .seconds(Int64(min(duration(name).components.seconds, 100 * 365 * 86400)))
    }
}
