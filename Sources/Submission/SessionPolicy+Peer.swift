import NIOCore
import Settings
import Tables

/// `smtpd_upstream_proxy_protocol`: each connection begins with a header that names the client.
struct ProxyPolicy: Sendable {
    let isExpected: Bool
    let timeout: TimeAmount

    init(_ settings: ServiceSettings) {
        isExpected = settings.text("smtpd_upstream_proxy_protocol").lowercased() == "haproxy"
        timeout = settings.timeAmount("smtpd_upstream_proxy_timeout")
    }
}

/// Who may speak for other clients, and ask for a sender per recipient (`smtpd_authorized_xclient_hosts`,
/// `smtpd_authorized_xforward_hosts`, `smtpd_authorized_verp_clients`).
struct TrustPolicy: Sendable {
    let xclient: NetworkList
    let xforward: NetworkList
    let verp: NetworkList
    let verpSyntax: VERPSyntax

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        var problems = ProblemCollector()
        let xclient = problems.collect(try NetworkList(settings, "smtpd_authorized_xclient_hosts", tables: tables))
        let xforward = problems.collect(try NetworkList(settings, "smtpd_authorized_xforward_hosts", tables: tables))
        let verp = problems.collect(try NetworkList(settings, "smtpd_authorized_verp_clients", tables: tables))
        let verpSyntax = problems.collect(try VERPSyntax(settings))
        guard let xclient, let xforward, let verp, let verpSyntax else { throw problems.error }
        self.xclient = xclient
        self.xforward = xforward
        self.verp = verp
        self.verpSyntax = verpSyntax
    }
}

/// `smtpd_reject_footer`, `smtpd_reject_footer_maps`.
struct RejectFooterPolicy: Sendable {
    let text: RejectFooter?
    let maps: TableList

    var isEmpty: Bool { text == nil && maps.isEmpty }

    init(_ settings: ServiceSettings, tables: TableRegistry) throws(ConfigurationError) {
        let parameter = "smtpd_reject_footer"
        text = RejectFooter(settings.text(parameter))
        if let problem = text?.problem { throw ConfigurationError("\(parameter): \(problem)", at: settings.location(of: parameter)) }
        let name = "smtpd_reject_footer_maps"
        maps = try tables.list(settings.list(name), at: settings.location(of: name))
    }
}

/// `smtpd_per_request_deadline` and `smtpd_min_data_rate`: how long the content of a message may take.
struct DeadlinePolicy: Sendable {
    private let isPerRequest: Bool
    private let minimumRate: Int
    private let timeout: TimeAmount

    init(_ settings: ServiceSettings) {
        isPerRequest = settings.bool("smtpd_per_request_deadline")
        minimumRate = settings.integer("smtpd_min_data_rate")
        timeout = settings.timeAmount("smtpd_timeout")
    }

    /// Until when the next piece must come.
    /// - Parameters:
    ///   - start: when the content was asked for.
    ///   - received: bytes of it so far; each `smtpd_min_data_rate` of them give a second more.
    func ofContent(start: NIODeadline, received: Int, now: NIODeadline = .now()) -> NIODeadline {
        guard isPerRequest else { return now + timeout }
        guard minimumRate > 0 else { return start + timeout }
        return start + timeout + .seconds(Int64(received / minimumRate))
    }
}
