/// Finds names that are probably misspelt: in main.cf and master.cf, but neither in the table nor used by anything.
struct UnknownNames {
    let main: MainFile
    let master: MasterFile
    let settings: ServiceSettings

    func diagnostics() -> [Diagnostic] {
        let used = Self.usedNames(main: main, master: master, classes: settings.list("smtpd_restriction_classes"))
        let transports = Set(master.entries.map(\.service))
        var out: [Diagnostic] = []
        func check(_ name: String, _ location: SourceLocation) {
            guard ParameterTable.row(name) == nil, !used.contains(name), !Self.isTransportParameter(name, transports) else { return }
            if tablePrefixes.contains(where: { name.hasPrefix("\($0)_") }) { return }
            out.append(Diagnostic(.warning, Self.message(for: name), at: location))
        }
        for entry in main.entries { check(entry.name, entry.location) }
        for entry in master.entries { for override in entry.options.overrides { check(override.name, entry.location) } }
        return out + undefinedReferences(transports)
    }

    /// `$name` where nothing defines the name: it stands for nothing, which is seldom meant. `${name?...}` asks, and may.
    private func undefinedReferences(_ transports: Set<String>) -> [Diagnostic] {
        let entries = main.entries.map { ($0.name, $0.value, $0.location) }
        let overrides = master.entries.flatMap { entry in entry.options.overrides.map { ($0.name, $0.value, entry.location) } }
        var defined = Set(main.definitions.keys)
        for entry in master.entries { defined.formUnion(entry.options.overrides.map(\.name)) }
        return (entries + overrides).flatMap { name, value, location -> [Diagnostic] in
            if ParameterTable.row(name)?.type == .template { return [] }
            let missing = Expander.plainReferences(in: value).filter { reference in
                ParameterTable.row(reference) == nil && !defined.contains(reference) && !Self.isTransportParameter(reference, transports)
                    && !ParameterTable.olderNames.values.contains { $0.contains(reference) }
            }
            return missing.sorted().map {
                Diagnostic(.warning, "\(name) refers to $\($0), which is not defined and stands for nothing", at: location)
            }
        }
    }

    private static func message(for name: String) -> String {
        if let successor = OldNames.successors[name] { return "\(name) is no longer a parameter; use \(successor)" }
        if OldNames.newer.contains(name) { return "\(name) belongs to a Postfix newer than 3.7 and has no effect" }
        let candidates = ParameterTable.all.map(\.name)
        guard let nearest = EditDistance.nearest(to: name, among: candidates) else { return "unknown parameter \(name)" }
        return "unknown parameter \(name); did you mean \(nearest)?"
    }

    /// Names that some value refers to, and the restriction classes.
    static func usedNames(main: MainFile, master: MasterFile, classes: [String]) -> Set<String> {
        var names = Set(classes)
        for row in ParameterTable.all { names.formUnion(Expander.references(in: row.defaultValue)) }
        for entry in main.entries { names.formUnion(Expander.references(in: entry.value)) }
        for entry in master.entries {
            for override in entry.options.overrides { names.formUnion(Expander.references(in: override.value)) }
        }
        return names
    }

    /// `TRANSPORT_destination_recipient_limit` and its like, for a service of master.cf.
    static func isTransportParameter(_ name: String, _ transports: Set<String>) -> Bool {
        transportSuffixes.contains { suffix in name.hasSuffix(suffix) && transports.contains(String(name.dropLast(suffix.count))) }
    }

    static let transportSuffixes = [
        "_delivery_slot_cost", "_delivery_slot_discount", "_delivery_slot_loan", "_destination_concurrency_failed_cohort_limit",
        "_destination_concurrency_limit", "_destination_concurrency_negative_feedback", "_destination_concurrency_positive_feedback",
        "_destination_rate_delay", "_destination_recipient_limit", "_extra_recipient_limit", "_initial_destination_concurrency",
        "_minimum_delivery_slots", "_recipient_limit", "_recipient_refill_delay", "_recipient_refill_limit", "_time_limit",
        "_transport_rate_delay",
    ]

    /// Old style database clients keep their settings in main.cf: `ldap:people` reads `people_server_host`.
    private var tablePrefixes: [String] {
        main.entries.flatMap { entry in
            ListSyntax.elements(entry.value).compactMap { element -> String? in
                let parts = element.split(separator: ":", maxSplits: 1)
                guard parts.count == 2, ["ldap", "mysql", "pgsql", "sqlite", "memcache"].contains(parts[0]), !parts[1].hasPrefix("/") else {
                    return nil
                }
                return String(parts[1])
            }
        }
    }
}

/// How many single-letter changes turn one name into another.
enum EditDistance {
    /// The candidate with the fewest changes; nil when even that needs too many to be a slip of the pen.
    static func nearest(to name: String, among candidates: [String]) -> String? {
        let name = Array(name.utf8)
        guard (2...100).contains(name.count) else { return nil }
        let limit = max(1, min(3, name.count / 4))
        var best: (name: String, distance: Int)?
        for candidate in candidates where abs(candidate.utf8.count - name.count) <= limit {
            let distance = between(name, Array(candidate.utf8))
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Insertions, deletions, substitutions and swaps of neighbours each count one.
    static func between(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...right.count)
        for (row, letter) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                var cost = min(last[column + 1] + 1, current[column] + 1, last[column] + (letter == other ? 0 : 1))
                if row > 0, column > 0, letter == right[column - 1], left[row - 1] == other { cost = min(cost, beforeLast[column - 1] + 1) }
                current.append(cost)
            }
            beforeLast = last
            last = current
        }
        return last[right.count]
    }
}

/// Parameters of other versions than 3.7.
enum OldNames {
    /// Names from before, and what took their place.
    static let successors: [String: String] = [
        "smtpd_sasl_application_name": "smtpd_sasl_path",
        "smtpd_tls_cipherlist": "smtpd_tls_mandatory_ciphers",
        "smtp_tls_cipherlist": "smtp_tls_mandatory_ciphers",
        "sender_based_routing": "sender_dependent_relayhost_maps",
        "smtp_skip_4xx_greeting": "nothing: it has become the only behaviour",
        "tls_eecdh_auto_groups": "tls_eecdh_auto_curves",
    ]

    /// Names that came later.
    static let newer: Set<String> = [
        "allow_srv_lookup_fallback", "default_cache_db_type", "force_mime_input_conversion", "full_name_encoding_charset",
        "ignore_srv_lookup_error", "maillog_file_permissions", "non_bdb_custom_mapping", "non_bdb_migration_level",
        "non_empty_end_of_header_action", "relocated_prefix_enable", "requiretls_enable", "requiretls_esmtp_header",
        "requiretls_redact_dsn",
        "smtp_log_tls_feature_status", "smtp_requiretls_policy", "smtp_sasl_password_result_delimiter", "smtp_tls_enable_rpk",
        "smtp_tls_enforce_sts_mx_patterns", "smtp_tls_loglevel_maps", "smtp_tls_trace_size_limit", "smtp_tlsrpt_enable",
        "smtp_tlsrpt_skip_reused_handshakes", "smtp_tlsrpt_socket_name", "smtpd_reject_filter_maps", "smtpd_tls_enable_rpk",
        "smtpd_tls_loglevel_maps", "smtpd_tls_trace_size_limit", "tls_ffdhe_auto_groups", "tls_required_enable", "tls_trace_rate_limit",
        "tls_trust_server_ccerts", "use_srv_lookup",
    ]
}
