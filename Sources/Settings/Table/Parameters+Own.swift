/// Postern's own parameters; Postfix has none of these.
extension Parameter {
    static let own: [Parameter] = [
        .init("role_heartbeat_time", .time(.seconds), .a, .honoured, "10s"),
        .init("smtpd_connection_limit", .count, .a, .honoured, "0"),
        .init("smtpd_drain_time", .time(.seconds), .a, .honoured, "100s"),
        .init("smtpd_owner", .text, .a, .honoured, ""),
        .init("smtpd_sasl_timeout", .time(.seconds), .a, .honoured, "60s"),
        .init("smtpd_sasl_worker_limit", .positive, .a, .honoured, "4"),
    ]
}
