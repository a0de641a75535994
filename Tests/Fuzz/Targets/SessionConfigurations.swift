/// What a whole connection is tried under.
struct SessionConfiguration: Sendable {
    var values: [String: String]
    /// What `smtpd_command_filter` makes of a line, for those who must know what the server has read.
    var filter: [String: String] = [:]
    /// Sent ahead of the connection where the input does not bring its own.
    var proxyHeader = ""
    /// A message may go to others than the client named.
    var expands = false
    /// A message may be answered with 250 and dropped.
    var discards = false

    /// CRLF alone ends a line around the final dot.
    var isStrict: Bool { values["smtpd_forbid_bare_newline"] != "no" && values["smtpd_forbid_bare_newline_exclusions"] == "" }
    var isWrapped: Bool { values["smtpd_tls_wrappermode"] == "yes" }
    /// What a command comes to does not depend on what came in the same packet.
    var ignoresPackets: Bool {
        values["smtpd_forbid_unauth_pipelining"] == "no" && values["smtpd_tls_security_level"] == nil && !isWrapped
    }

    private static let strict = ["smtpd_forbid_bare_newline_exclusions": ""]
    private static let trusting = [
        "smtpd_authorized_xclient_hosts": "127.0.0.0/8, 192.0.2.0/28", "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
    ]

    /// In the order of the number that an input begins with: to be added to at the end only, or the corpus means something else.
    static let all: [SessionConfiguration] = [
        .init(values: strict.merging(["fast_flush_domains": "d.example, .f.example"]) { $1 }),
        .init(
            values: strict.merging([
                "smtpd_forbid_bare_newline": "reject", "smtpd_helo_required": "yes", "smtpd_delay_reject": "no",
                "smtpd_etrn_restrictions": "check_etrn_access inline:{ d.example=REJECT }", "fast_flush_domains": "static:yes",
            ]) { $1 }
        ),
        .init(values: [
            "smtpd_forbid_bare_newline": "no", "smtpd_forbid_unauth_pipelining": "no", "strict_rfc821_envelopes": "yes",
        ]),
        .init(
            values: strict.merging([
                "smtpd_forbid_unauth_pipelining": "no", "message_size_limit": "300", "smtpd_recipient_limit": "2",
                "smtpd_junk_command_limit": "3", "line_length_limit": "512", "always_add_missing_headers": "yes",
                "smtpd_recipient_restrictions": "reject_non_fqdn_sender, permit_mynetworks, reject",
            ]) { $1 }
        ),
        .init(
            values: strict.merging(["smtpd_tls_security_level": "may", "smtpd_tls_auth_only": "yes", "smtpd_tls_received_header": "yes"]) {
                $1
            }
        ),
        .init(values: strict.merging(["smtpd_tls_wrappermode": "yes", "smtpd_sasl_authenticated_header": "yes"]) { $1 }),
        .init(values: [
            "smtpd_tls_security_level": "encrypt", "smtpd_forbid_unauth_pipelining": "no", "smtpd_forbid_bare_newline": "note",
            "smtpd_forbid_bare_newline_exclusions": "", "smtpd_delay_reject": "no",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        ]),
        .init(
            values: strict.merging(trusting) { $1 }.merging([
                "smtpd_client_connection_count_limit": "2", "smtpd_delay_reject": "no", "smtpd_tls_security_level": "may",
                "smtpd_client_restrictions": "check_client_access inline:{ 192.0.2.66=REJECT }", "smtpd_client_port_logging": "yes",
            ]) { $1 }
        ),
        .init(
            values: strict.merging(["smtpd_upstream_proxy_protocol": "haproxy", "smtpd_forbid_unauth_pipelining": "no"]) { $1 },
            proxyHeader: "PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\n"
        ),
        .init(
            values: trusting.merging(["smtpd_upstream_proxy_protocol": "haproxy", "smtpd_tls_wrappermode": "yes"]) { $1 },
            proxyHeader: "PROXY TCP6 2001:db8::1 2001:db8::2 1025 465\r\n"
        ),
        .init(
            values: strict.merging(rewriting) { $1 }.merging([
                "local_header_rewrite_clients": "permit_sasl_authenticated", "remote_header_rewrite_domain": "remote.example",
                "masquerade_domains": "b.example",
                "masquerade_classes": "envelope_sender, envelope_recipient, header_sender, header_recipient",
            ]) { $1 },
            expands: true
        ),
        .init(
            values: rewriting.merging([
                "smtpd_forbid_bare_newline": "no", "myorigin": "origin.example", "canonical_maps": "inline:{ a=a2 }, fail:broken",
                "canonical_classes": "header_sender, header_recipient", "header_size_limit": "60", "hopcount_limit": "3",
                "header_address_token_limit": "12", "always_add_missing_headers": "yes",
            ]) { $1 },
            expands: true
        ),
        .init(
            values: strict.merging(trusting) { $1 }.merging([
                "smtpd_command_filter": "regexp:{ {/^HELO y$$/ EHLO y}, {/^FOO$$/ RCPT TO:<f@d.example>}, {/^BAR$$/ bad word} }",
                "smtpd_discard_ehlo_keyword_address_maps":
                    "inline:{ {192.0.2.1=dsn, chunking, auth}, {192.0.2.2=starttls, smtputf8, xclient, silent-discard} }, fail:broken",
                "smtpd_noop_commands": "FOO2, VRFY, xforward", "smtpd_forbidden_commands": "CONNECT, GET, regexp:{{/^[^A-Z]{2}$$/ x}}",
                "smtpd_reject_footer": "\\c. $client $helo_name\\n$recipient $sender", "soft_bounce": "yes",
                "smtpd_forbid_unauth_pipelining": "no",
            ]) { $1 },
            filter: ["helo y": "EHLO y", "foo": "RCPT TO:<f@d.example>", "bar": "bad word"]
        ),
        .init(
            values: strict.merging([
                "smtputf8_enable": "no", "disable_vrfy_command": "yes", "smtpd_forbid_unauth_pipelining": "no",
                "smtpd_sasl_auth_enable": "no",
                "smtpd_discard_ehlo_keywords": "dsn", "smtpd_reject_footer_maps": "inline:{ {550=x\\ny} }, fail:broken",
                "cleanup_replace_stray_cr_lf": "no", "message_drop_headers": "bcc, subject",
            ]) { $1 }
        ),
        .init(
            values: strict.merging([
                "strict_smtputf8": "yes", "smtputf8_autodetect_classes": "all", "smtpd_forbid_unauth_pipelining": "no",
                "smtpd_per_request_deadline": "yes", "always_bcc": "copy@bcc.example",
                "smtpd_sender_restrictions":
                    "check_sender_access inline:{ {p@=PREPEND X-A: b}, {d@=DISCARD}, {h@=HOLD}, {r@=REJECT no}, {f@=DEFER_IF_PERMIT}, {w@=WARN} }",
                "smtpd_data_restrictions": "reject_multi_recipient_bounce",
                "smtpd_end_of_data_restrictions": "check_recipient_access inline:{ {no@d.example=REJECT}, {di@d.example=DISCARD} }",
            ]) { $1 },
            expands: true,
            discards: true
        ),
        .init(
            values: strict.merging([
                "smtpd_hard_error_limit": "4", "smtpd_soft_error_limit": "1", "smtpd_junk_command_limit": "1", "line_length_limit": "512",
                "smtpd_sasl_response_limit": "20", "message_size_limit": "0", "smtpd_recipient_limit": "1",
                "smtpd_recipient_overshoot_limit": "1", "duplicate_filter_limit": "1", "smtpd_tls_security_level": "may",
            ]) { $1 }
        ),
    ]

    private static let rewriting = [
        "smtpd_forbid_unauth_pipelining": "no", "canonical_maps": "inline:{ {a@b.example=b}, {@c.example=all@d.example} }",
        "virtual_alias_maps":
            "inline:{ {c@d.example=c@d.example, e@f.example}, {loop@d.example=loop@d.example}, {all@d.example=c@d.example x} }",
        "recipient_bcc_maps": "inline:{ {c@d.example=copy@bcc.example} }", "sender_bcc_maps": "inline:{ {a@b.example=sent@bcc.example} }",
        "virtual_alias_expansion_limit": "4", "virtual_alias_recursion_limit": "3",
    ]
}
