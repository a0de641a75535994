import Authentication
import NIOCore
import Notices
import Routing
import SMTPCore
import Settings
import TLS
import Tables

extension ClientSettings {
    /// Reads the `smtp_*` or `lmtp_*` parameters of one service; opens its tables and TLS files.
    init?(
        _ settings: ServiceSettings,
        dialect: Dialect,
        tables: TableRegistry,
        ownAddresses: Set<IPAddress>,
        problems: inout [Diagnostic]
    ) {
        let reader = ClientParameterReader(settings: settings, prefix: dialect.rawValue)
        let problemsBefore = problems.count
        self.dialect = dialect
        self.ownAddresses = ownAddresses
        syslogName = settings.text("syslog_name")
        notices = NoticeSettings(settings)
        myHostname = settings.text("myhostname")
        queueDirectory = settings.text("queue_directory")
        minimalBackoff = settings.timeAmount("minimal_backoff_time")
        heloName = reader.text(dialect == .lmtp ? "lhlo_name" : "helo_name")
        alwaysSendEHLO = dialect == .lmtp || settings.bool("smtp_always_send_ehlo")
        neverSendEHLO = dialect == .smtp && settings.bool("smtp_never_send_ehlo")
        timeouts = Timeouts(reader)
        reuse = Reuse(reader)
        let families = settings.keywords("inet_protocols")
        usesIPv4 = families.contains("all") || families.contains("ipv4")
        usesIPv6 = families.contains("all") || families.contains("ipv6")
        addressPreference = AddressPreference(rawValue: reader.text("address_preference")) ?? .any
        randomizesAddresses = reader.bool("randomize_addresses")
        usesDNS = settings.keywords(reader.name("host_lookup")).contains("dns")
        domainEncoder = DomainEncoder(settings: settings)
        addressLimit = reader.integer("mx_address_limit")
        sessionLimit = reader.integer("mx_session_limit")
        fallbackRelay = reader.list("fallback_relay")
        ignoresMXLookupErrors = settings.bool("ignore_mx_lookup_error")
        defersWithoutMXAddress = reader.bool("defer_if_no_mx_address_found")
        skips5xxGreeting = reader.bool("skip_5xx_greeting")
        discardedKeywords = settings.keywords(reader.name(dialect == .lmtp ? "discard_lhlo_keywords" : "discard_ehlo_keywords"))
        lineLengthLimit = reader.integer("line_length_limit")
        convertsEightBit = !settings.bool("disable_mime_output_conversion")

        let port = reader.text("tcp_port")
        defaultPort = NextHop.port(port) ?? 0
        if defaultPort == 0 { problems.append(reader.problem("tcp_port", "unknown service \"\(port)\"")) }
        bindAddress = reader.address("bind_address", bits: 32, problems: &problems)
        bindAddress6 = reader.address("bind_address6", bits: 128, problems: &problems)
        tls = ClientTLSSettings(reader, problems: &problems)
        sasl = reader.bool("sasl_auth_enable") ? ClientSASLSettings(reader, tables: tables, problems: &problems) : nil
        if problems.count > problemsBefore { return nil }
    }
}

/// The parameters of one service under the names of its dialect.
struct ClientParameterReader {
    let settings: ServiceSettings
    let prefix: String

    func name(_ suffix: String) -> String { "\(prefix)_\(suffix)" }
    func text(_ suffix: String) -> String { settings.text(name(suffix)) }
    func bool(_ suffix: String) -> Bool { settings.bool(name(suffix)) }
    func integer(_ suffix: String) -> Int { settings.integer(name(suffix)) }
    func time(_ suffix: String) -> TimeAmount { settings.timeAmount(name(suffix)) }
    func list(_ suffix: String) -> [String] { settings.list(name(suffix)) }

    func problem(_ suffix: String, _ message: String) -> Diagnostic {
        Diagnostic(.error, "\(name(suffix)): \(message)", at: settings.location(of: name(suffix)))
    }

    func address(_ suffix: String, bits: Int, problems: inout [Diagnostic]) -> IPAddress? {
        let text = text(suffix)
        if text.isEmpty { return nil }
        if let address = IPAddress(text), address.bitWidth == bits { return address }
        problems.append(problem(suffix, "\"\(text)\" is not an address of this family"))
        return nil
    }
}

extension ClientSettings.Timeouts {
    init(_ reader: ClientParameterReader) {
        let connectLimit = reader.time("connect_timeout")
        // 0, the default of LMTP, leaves it to the kernel, which gives up long before this.
        connect = connectLimit > .zero ? connectLimit : .hours(1)
        helo = reader.time(reader.prefix == "lmtp" ? "lhlo_timeout" : "helo_timeout")
        startTLS = reader.time("starttls_timeout")
        mail = reader.time("mail_timeout")
        rcpt = reader.time("rcpt_timeout")
        dataInit = reader.time("data_init_timeout")
        dataTransfer = reader.time("data_xfer_timeout")
        dataDone = reader.time("data_done_timeout")
        rset = reader.time("rset_timeout")
    }
}

extension ClientSettings.Reuse {
    init(_ reader: ClientParameterReader) {
        onDemand = reader.bool("connection_cache_on_demand")
        destinations = Set(reader.list("connection_cache_destinations").map { $0.lowercased() })
        idleLimit = reader.time("connection_cache_time_limit")
        timeLimit = reader.time("connection_reuse_time_limit")
        countLimit = reader.integer("connection_reuse_count_limit")
    }
}

extension ClientTLSSettings {
    init(_ reader: ClientParameterReader, problems: inout [Diagnostic]) {
        isWrapped = reader.bool("tls_wrappermode")
        logLevel = reader.integer("tls_loglevel")
        notesOffers = reader.bool("tls_note_starttls_offer")
        let name = reader.text("tls_servername")
        serverName = name.isEmpty ? nil : name
        level = .none
        let text = reader.text("tls_security_level").lowercased()
        if text.isEmpty {
            level = reader.bool("enforce_tls") ? .encrypt : reader.bool("use_tls") ? .may : .none
            if level == .encrypt, reader.bool("tls_enforce_peername") {
                // The legacy way to say "verify": passing over it would send mail to whoever answers.
                problems.append(
                    reader.problem("enforce_tls", "needs tls_enforce_peername = no: the check of certificates' names is not implemented")
                )
            }
        } else if let known = Level(rawValue: text) {
            level = known
        } else {
            problems.append(reader.problem("tls_security_level", "level \"\(text)\" is not implemented; none, may and encrypt are"))
        }
        if isWrapped {
            if level != .encrypt {
                problems.append(reader.problem("tls_wrappermode", "needs \(reader.name("tls_security_level")) = encrypt"))
            }
            level = .encrypt
        }
        context = level == .none ? nil : ClientTLSContext.make(reader, isMandatory: level == .encrypt, problems: &problems)
    }
}

extension ClientSASLSettings {
    init?(_ reader: ClientParameterReader, tables: TableRegistry, problems: inout [Diagnostic]) {
        let problemsBefore = problems.count
        passwords = Self.passwords(reader, tables: tables, problems: &problems)
        securityOptions = []
        tlsSecurityOptions = []
        mechanismFilter = .all
        if reader.bool("sender_dependent_authentication") {
            senderLookup = AddressLookup(
                recipientDelimiter: reader.settings.text("recipient_delimiter"),
                ownerRequestSpecial: reader.settings.bool("owner_request_special")
            )
        }
        softBounce = reader.bool("sasl_auth_soft_bounce")
        sendsAuthorizationID = reader.settings.bool("send_cyrus_sasl_authzid")
        do throws(SASLClient.Failure) {
            try SASLClient.loadMechanisms()
        } catch {
            problems.append(reader.problem("sasl_auth_enable", "libsasl2: \(error)"))
        }
        do throws(SASLConfigurationError) {
            securityOptions = try SASLSecurityOptions(parsing: reader.text("sasl_security_options"))
            tlsSecurityOptions = try SASLSecurityOptions(parsing: reader.text("sasl_tls_security_options"))
        } catch {
            problems.append(reader.problem("sasl_security_options", error.description))
        }
        do throws(SASLConfigurationError) {
            mechanismFilter = try MechanismFilter(parsing: reader.text("sasl_mechanism_filter"))
        } catch {
            problems.append(reader.problem("sasl_mechanism_filter", error.description))
        }
        if problems.count > problemsBefore { return nil }
    }

    private static func passwords(_ reader: ClientParameterReader, tables: TableRegistry, problems: inout [Diagnostic]) -> TableList {
        let name = reader.name("sasl_password_maps")
        let specs = reader.list("sasl_password_maps")
        if specs.isEmpty { problems.append(reader.problem("sasl_auth_enable", "needs \(name)")) }
        do throws(ConfigurationError) {
            return try tables.list(specs, at: reader.settings.location(of: name))
        } catch {
            problems += error.diagnostics
            return .empty
        }
    }
}
