/// Postfix's internal services. Names, types and defaults as in Postfix 3.7.11; a pure data table.
extension Parameter {
    static let internals: [Parameter] = [
        .init("address_verify_service_name", .text, .c, .noEffect(.noInternalServices), "verify"),
        .init("anvil_status_update_time", .time(.seconds), .b, .honoured, "600s"),
        .init("application_event_drain_time", .time(.seconds), .c, .noEffect(.noInternalServices), "100s"),
        .init("backwards_bounce_logfile_compatibility", .bool, .c, .noEffect(.noInternalServices), "yes"),
        .init("bounce_service_name", .text, .c, .noEffect(.noInternalServices), "bounce"),
        .init("cleanup_service_name", .text, .c, .restricts, "cleanup"),
        .init("connection_cache_protocol_timeout", .time(.seconds), .c, .noEffect(.noInternalServices), "5s"),
        .init("connection_cache_service_name", .text, .c, .noEffect(.noInternalServices), "scache"),
        .init("connection_cache_status_update_time", .time(.seconds), .c, .noEffect(.noInternalServices), "600s"),
        .init("connection_cache_ttl_limit", .time(.seconds), .c, .noEffect(.noInternalServices), "2s"),
        .init("daemon_table_open_error_is_fatal", .bool, .b, .noEffect(.noInternalServices), "no"),
        .init("daemon_timeout", .time(.seconds), .c, .noEffect(.noInternalServices), "18000s"),
        .init("default_process_limit", .count, .a, .noEffect(.noInternalServices), "100"),
        .init("defer_service_name", .text, .c, .noEffect(.noInternalServices), "defer"),
        .init("dont_remove", .count, .c, .noEffect(.noInternalServices), "0"),
        .init("error_service_name", .text, .c, .noEffect(.noInternalServices), "error"),
        .init("export_environment", .list, .b, .noEffect(.noInternalServices), "TZ MAIL_CONFIG LANG"),
        .init("fault_injection_code", .count, .c, .noEffect(.noInternalServices), "0"),
        .init("flush_service_name", .text, .c, .noEffect(.noInternalServices), "flush"),
        .init("fork_attempts", .count, .c, .noEffect(.noInternalServices), "5"),
        .init("fork_delay", .time(.seconds), .c, .noEffect(.noInternalServices), "1s"),
        .init(
            "import_environment",
            .list,
            .b,
            .noEffect(.noInternalServices),
            "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ XAUTHORITY DISPLAY LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME"
        ),
        .init("ipc_idle", .time(.seconds), .c, .noEffect(.noInternalServices), "5s"),
        .init("ipc_timeout", .time(.seconds), .b, .noEffect(.noInternalServices), "3600s"),
        .init("ipc_ttl", .time(.seconds), .c, .noEffect(.noInternalServices), "1000s"),
        .init("max_idle", .time(.seconds), .b, .noEffect(.noInternalServices), "100s"),
        .init("max_use", .count, .b, .noEffect(.noInternalServices), "100"),
        .init("pickup_service_name", .text, .c, .noEffect(.noInternalServices), "pickup"),
        .init("postlog_service_name", .text, .c, .noEffect(.noInternalServices), "postlog"),
        .init("postlogd_watchdog_timeout", .time(.seconds), .c, .noEffect(.noInternalServices), "10s"),
        .init(
            "proxy_read_maps",
            .list,
            .b,
            .noEffect(.unusedService),
            """
            $local_recipient_maps $mydestination $virtual_alias_maps $virtual_alias_domains \
            $virtual_mailbox_maps $virtual_mailbox_domains $relay_recipient_maps $relay_domains $canonical_maps \
            $sender_canonical_maps $recipient_canonical_maps $relocated_maps $transport_maps $mynetworks \
            $smtpd_sender_login_maps $sender_bcc_maps $recipient_bcc_maps $smtp_generic_maps $lmtp_generic_maps \
            $alias_maps $smtpd_client_restrictions $smtpd_helo_restrictions $smtpd_sender_restrictions \
            $smtpd_relay_restrictions $smtpd_recipient_restrictions \
            $address_verify_sender_dependent_default_transport_maps \
            $address_verify_sender_dependent_relayhost_maps $address_verify_transport_maps \
            $fallback_transport_maps $lmtp_discard_lhlo_keyword_address_maps $lmtp_pix_workaround_maps \
            $lmtp_sasl_password_maps $lmtp_tls_policy_maps $mailbox_command_maps $mailbox_transport_maps \
            $postscreen_discard_ehlo_keyword_address_maps $rbl_reply_maps \
            $sender_dependent_default_transport_maps $sender_dependent_relayhost_maps \
            $smtp_discard_ehlo_keyword_address_maps $smtp_pix_workaround_maps $smtp_sasl_password_maps \
            $smtp_tls_policy_maps $smtpd_discard_ehlo_keyword_address_maps $smtpd_milter_maps $virtual_gid_maps \
            $virtual_uid_maps $local_login_sender_maps $postscreen_reject_footer_maps $smtpd_reject_footer_maps \
            $tls_server_sni_maps $tlsproxy_client_policy_maps $default_delivery_status_filter \
            $lmtp_delivery_status_filter $lmtp_dns_reply_filter $lmtp_reply_filter $local_delivery_status_filter \
            $pipe_delivery_status_filter $postscreen_command_filter $smtp_delivery_status_filter \
            $smtp_dns_reply_filter $smtp_reply_filter $smtpd_command_filter $smtpd_dns_reply_filter \
            $virtual_delivery_status_filter $body_checks $header_checks $lmtp_body_checks $lmtp_header_checks \
            $lmtp_mime_header_checks $lmtp_nested_header_checks $milter_header_checks $mime_header_checks \
            $nested_header_checks $smtp_body_checks $smtp_header_checks $smtp_mime_header_checks \
            $smtp_nested_header_checks
            """
        ),
        .init(
            "proxy_write_maps",
            .list,
            .c,
            .noEffect(.unusedService),
            "$smtp_sasl_auth_cache_name $lmtp_sasl_auth_cache_name $address_verify_map $postscreen_cache_map"
        ),
        .init("proxymap_service_name", .text, .c, .noEffect(.noInternalServices), "proxymap"),
        .init("proxywrite_service_name", .text, .c, .noEffect(.noInternalServices), "proxywrite"),
        .init("queue_service_name", .text, .c, .noEffect(.noInternalServices), "qmgr"),
        .init("rewrite_service_name", .text, .c, .noEffect(.noInternalServices), "rewrite"),
        .init("service_name", .text, .c, .honoured, ""),
        .init("service_throttle_time", .time(.seconds), .c, .noEffect(.noInternalServices), "60s"),
        .init("showq_service_name", .text, .c, .noEffect(.noInternalServices), "showq"),
        .init("tcp_windowsize", .count, .c, .noEffect(.noInternalServices), "0"),
        .init("tlsmgr_service_name", .text, .c, .noEffect(.noInternalServices), "tlsmgr"),
        .init("trace_service_name", .text, .c, .noEffect(.noInternalServices), "trace"),
        .init("trigger_timeout", .time(.seconds), .c, .noEffect(.noInternalServices), "10s"),
    ]
}
