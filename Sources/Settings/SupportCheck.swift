/// Holds what the configuration sets against what is implemented (`Parameter.Support`).
struct SupportCheck {
    let main: MainFile
    let mainSettings: ServiceSettings
    let services: [MasterService]

    func diagnostics() -> [Diagnostic] {
        var out: [Diagnostic] = []
        for row in ParameterTable.all where row.support != .honoured {
            var said: Set<Diagnostic> = []
            for (settings, isInUse) in views(of: row) where !settings.isDefault(row.name) {
                let found = diagnostic(row, settings, isInUse: isInUse)
                if said.insert(found).inserted { out.append(found) }
            }
        }
        return out + unreachableOverrides() + serverWideOverrides() + transportParameters()
    }

    /// The settings of those who would read the parameter, and whether they take part.
    private func views(of row: Parameter) -> [(ServiceSettings, isInUse: Bool)] {
        if row.name.hasPrefix("smtpd_") { return smtpd }
        if row.name.hasPrefix("smtp_") { return transports(.smtp) }
        if row.name.hasPrefix("lmtp_") { return transports(.lmtp) }
        return [(mainSettings, true)] + smtpd
    }

    private var smtpd: [(ServiceSettings, isInUse: Bool)] {
        services.compactMap { if case .smtpd = $0.role { ($0.settings, true) } else { nil } }
    }

    private func transports(_ kind: MasterService.Transport) -> [(ServiceSettings, isInUse: Bool)] {
        services.compactMap { $0.role == .transport(kind) ? ($0.settings, isInUse($0)) : nil }
    }

    /// Whether mail may be routed to a transport. With transport_maps, any one may be named by a table.
    func isInUse(_ service: MasterService) -> Bool {
        if !mainSettings.text("transport_maps").isEmpty { return true }
        let named = ["default_transport", "local_transport", "relay_transport", "virtual_transport", "mailbox_transport"]
        return named.contains { mainSettings.text($0).prefix { $0 != ":" } == service.name[...] }
    }

    /// - Parameter transport: whose parameter it is; without it, the service's whose settings these are.
    func diagnostic(_ row: Parameter, _ settings: ServiceSettings, isInUse: Bool, transport: String? = nil) -> Diagnostic {
        let location = settings.cause(of: row.name)
        switch row.support {
        case .honoured: preconditionFailure("\(row.name) is honoured")
        case .loosens: return Diagnostic(.note, "\(row.name) is not implemented; it would only allow more", at: location)
        case .noEffect(let reason): return Diagnostic(.note, "\(row.name) has no effect: \(reason.rawValue)", at: location)
        case .restricts:
            let message = "\(row.name) is set, but not implemented yet, and cannot safely be ignored"
            if isInUse { return Diagnostic(.error, message, at: location) }
            return Diagnostic(.warning, "\(message); the transport \(transport ?? settings.serviceName) is not in use", at: location)
        }
    }

    /// `-o` on the lines of Postfix's own services, which are no processes of their own here.
    private func unreachableOverrides() -> [Diagnostic] {
        services.filter { $0.role == .builtIn && Self.defaultNames.contains($0.name) }.flatMap { service in
            service.entry.options.overrides.compactMap { override -> Diagnostic? in
                guard let row = ParameterTable.row(override.name), service.settings.text(row.name) != mainSettings.text(row.name) else {
                    return nil
                }
                switch row.support {
                case .restricts: return diagnostic(row, service.settings, isInUse: true)
                case .honoured:
                    let message =
                        "\(row.name) has no effect on this line, since \(service.name) is not a process of its own; set it in main.cf"
                    return Diagnostic(.warning, message, at: service.entry.location)
                case .loosens, .noEffect: return nil
                }
            }
        }
    }

    /// `-o` on a service's line of what is one for all services: Postfix's smtpd would follow some of them.
    private func serverWideOverrides() -> [Diagnostic] {
        let served = services.filter { $0.role != .builtIn && $0.role != .disabled }
        return served.flatMap { service in
            service.entry.options.overrides.compactMap { override -> Diagnostic? in
                guard let row = ParameterTable.row(override.name), let isFollowed = Self.serverWide[row.name],
                    service.settings.text(row.name) != mainSettings.text(row.name)
                else { return nil }
                let message = "\(row.name) is one for the whole server and cannot be set for \(service.name) alone; set it in main.cf"
                return Diagnostic(isFollowed ? .error : .warning, message, at: service.entry.location)
            }
        }
    }

    /// What is taken from main.cf only, and whether Postfix's smtpd, smtp or lmtp (or nobody but Postern) would have followed a `-o`: there
    /// a start without the setting is not what was asked for. Of the rest Postfix takes no notice, either.
    private static let serverWide: [String: Bool] = {
        let followed = [
            "data_directory", "mail_owner", "maillog_file", "queue_directory", "queue_minfree", "smtpd_connection_limit",
            "smtpd_drain_time", "smtpd_owner", "smtpd_sasl_worker_limit", "syslog_facility",
        ]
        let queue = [
            "2bounce_notice_recipient", "anvil_rate_time_unit", "anvil_status_update_time", "bounce_queue_lifetime", "bounce_size_limit",
            "defer_transports",
            "double_bounce_sender", "maximal_backoff_time", "maximal_queue_lifetime", "minimal_backoff_time", "qmgr_message_active_limit",
            "queue_run_delay",
        ]
        return Dictionary(uniqueKeysWithValues: followed.map { ($0, true) } + queue.map { ($0, false) })
    }()

    /// The services that Postfix uses unless told otherwise.
    private static let defaultNames: Set<String> = ["cleanup", "qmgr", "bounce", "defer", "trace", "rewrite", "verify", "tlsmgr", "anvil"]
}
