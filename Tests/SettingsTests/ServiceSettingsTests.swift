import Settings
import Testing

@Suite struct ServiceSettingsTests {
    @Test func everyRowHasAUniqueNameAndADefaultOfItsType() {
        let settings = ServiceSettings.testing()
        #expect(ParameterTable.all.count > 830)
        for row in ParameterTable.all {
            let value = settings.text(row.name)
            #expect(row.problem(with: value) == nil)
            #expect(settings.isDefault(row.name) || row.name == "compatibility_level", "\(row.name)")
        }
    }

    /// `smtpd_sasl_type = Dovecot` must not be taken for cyrus, nor `smtpd_tls_security_level = None` for encrypt.
    @Test func choicesAreReadInLowerCase() {
        let settings = ServiceSettings.testing(["smtpd_sasl_type": "Dovecot", "smtpd_tls_security_level": "None"])
        #expect(settings.text("smtpd_sasl_type") == "dovecot")
        #expect(settings.text("smtpd_tls_security_level") == "none")
    }

    @Test func typedAccess() {
        let settings = ServiceSettings.testing(
            [
                "myhostname": "mx.example.com", "smtpd_timeout": "5m", "maximal_queue_lifetime": "2",
                "mynetworks": "127.0.0.0/8, /etc/nets",
                "smtpd_relay_restrictions": "check_client_access { inline:{a=b, c=d} }, reject", "smtpd_sasl_auth_enable": "YES",
                "my_class": "permit_${mua}", "mua": "mynetworks",
            ],
            serviceName: "submission",
            overrides: ["syslog_name": "postfix/$service_name"],
            files: ["/etc/nets": ["192.0.2.0/24"]]
        )
        #expect(settings.text("smtpd_banner") == "mx.example.com ESMTP Postfix")
        #expect(settings.text("mydomain") == "example.com")
        #expect(settings.text("syslog_name") == "postfix/submission")
        #expect(settings.duration("smtpd_timeout") == .seconds(300))
        #expect(settings.duration("maximal_queue_lifetime") == .seconds(172_800))
        #expect(settings.duration("smtpd_starttls_timeout") == .seconds(300))
        #expect(settings.overriding(["stress": "yes"]).duration("smtpd_starttls_timeout") == .seconds(10))
        #expect(settings.list("mynetworks") == ["127.0.0.0/8", "192.0.2.0/24"])
        #expect(settings.list("smtpd_relay_restrictions") == ["check_client_access", "{ inline:{a=b, c=d} }", "reject"])
        #expect(settings.bool("smtpd_sasl_auth_enable"))
        #expect(settings.integer("smtpd_hard_error_limit") == 20)
        #expect(settings.size("message_size_limit") == 10_240_000)
        #expect(settings.definedText("my_class") == "permit_mynetworks")
        #expect(settings.definedText("no_such_thing") == nil)
        #expect(settings.text("default_rbl_reply").hasPrefix("$rbl_code"))
        #expect(settings.keywords("notify_classes") == ["resource", "software"])
        #expect(settings.isDefault("smtpd_timeout"), "5m is the default of 300s in other words")
        #expect(!settings.isDefault("mynetworks"))
    }
}
