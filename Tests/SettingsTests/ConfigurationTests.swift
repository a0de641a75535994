import SMTPCore
import Settings
import Testing

@Suite struct ConfigurationTests {
    @Test func stockDebianLoads() throws {
        let (loaded, diagnostics) = load("", files: ["/c/main.cf": debianMain, "/c/master.cf": debianMaster])
        #expect(diagnostics.errors.isEmpty)
        #expect(diagnostics.warnings.isEmpty)
        let configuration = try #require(loaded)
        func transport(_ name: String) -> MasterService? { configuration.transports.first { $0.name == name } }
        let smtpd = try #require(configuration.smtpdServices.first)
        #expect(smtpd.role == .smtpd([.init(address: .v4(0), port: 25), .init(address: .v6(high: 0, low: 0), port: 25)]))
        #expect(smtpd.chroot)
        #expect(smtpd.settings.text("smtpd_banner") == "debian.example.com ESMTP Postfix (Debian/GNU)")
        #expect(configuration.main.text("mydomain") == "example.com")
        #expect(configuration.main.text("smtpd_forbid_bare_newline") == "normalize")
        #expect(transport("relay")?.settings.text("syslog_name") == "postfix/relay")
        #expect(transport("relay")?.role == .transport(.smtp))
        #expect(transport("retry")?.role == .transport(.error))
        #expect(transport("uucp")?.arguments.prefix(2) == ["flags=Fqhu", "user=uucp"])
        #expect(transport("cleanup") == nil)
        #expect(configuration.files == ["/c/main.cf", "/c/master.cf"])
        #expect(diagnostics.notes.contains { $0.hasPrefix("note: master.cf services whose work Postern does itself: pickup cleanup") })
    }

    @Test func submissionBlockOverridesWithEmptyValues() throws {
        let master = """
            submission inet n       -       y       -       -       smtpd
              -o syslog_name=postfix/submission
              -o smtpd_tls_security_level=encrypt
              -o smtpd_sasl_auth_enable=yes
            # a comment does not end the entry
              -o smtpd_relay_restrictions=
              -o smtpd_client_restrictions=$mua_client_restrictions
              -o { smtpd_recipient_restrictions = permit_sasl_authenticated, reject } -vv
              -o milter_macro_daemon_name=ORIGINATING

            """
        let (loaded, diagnostics) = load(
            "mua_client_restrictions = permit_mynetworks, reject\nmyhostname = a.example.com\n",
            master: master
        )
        #expect(diagnostics.errors.isEmpty && diagnostics.warnings.isEmpty)
        let service = try #require(loaded?.smtpdServices.first)
        #expect(service.role == .smtpd([.init(address: .v4(0), port: 587), .init(address: .v6(high: 0, low: 0), port: 587)]))
        #expect(service.settings.text("smtpd_relay_restrictions") == "")
        #expect(!service.settings.isDefault("smtpd_relay_restrictions"))
        #expect(service.settings.list("smtpd_client_restrictions") == ["permit_mynetworks", "reject"])
        #expect(service.settings.list("smtpd_recipient_restrictions") == ["permit_sasl_authenticated", "reject"])
        #expect(service.settings.text("smtpd_tls_security_level") == "encrypt")
        #expect(service.settings.location(of: "smtpd_tls_security_level") == SourceLocation(file: "/c/master.cf", line: 1))
        #expect(service.verbosity == 2)
        #expect(loaded?.main.text("smtpd_tls_security_level") == "")
    }

    @Test(arguments: [
        ("587", "all", "all", ["0.0.0.0:587", "[::]:587"]),
        ("587", "all", "ipv4", ["0.0.0.0:587"]),
        ("submissions", "all", "ipv6", ["[::]:465"]),
        ("smtps", "loopback-only", "all", ["127.0.0.1:465", "[::1]:465"]),
        ("127.0.0.1:40025", "all", "all", ["127.0.0.1:40025"]),
        ("[::1]:25", "all", "all", ["[::1]:25"]),
        ("localhost:25", "all", "all", ["127.0.0.1:25", "[::1]:25"]),
        (":25", "192.0.2.2, [fd00::2]", "all", ["192.0.2.2:25", "[fd00::2]:25"]),
        ("25", "$myhostname, localhost", "ipv4", ["192.0.2.2:25", "127.0.0.1:25"]),
        ("www", "loopback-only", "ipv4", ["127.0.0.1:80"]),
    ])
    func listenAddresses(service: String, interfaces: String, protocols: String, expected: [String]) throws {
        let (loaded, diagnostics) = load(
            "inet_interfaces = \(interfaces)\ninet_protocols = \(protocols)\nmyhostname = mx.example.com\n",
            master: "\(service) inet n - n - - smtpd\n",
            files: ["/etc/services": "http 80/tcp www # web\nsmtp 99/tcp\n"],
            hosts: ["localhost": ["127.0.0.1", "::1"], "mx.example.com": ["192.0.2.2"]]
        )
        #expect(diagnostics.errors.isEmpty)
        guard case .smtpd(let addresses)? = try #require(loaded).smtpdServices.first?.role else {
            return #expect(Bool(false), "not served")
        }
        #expect(addresses.map(\.description) == expected)
    }

    @Test func withoutIPv6OnlyIPv4IsUsed() throws {
        let (loaded, diagnostics) = load("", hasIPv6: false)
        #expect(diagnostics.errors.isEmpty)
        #expect(try #require(loaded).smtpdServices.first?.role == .smtpd([.init(address: .v4(0), port: 25)]))
    }

    @Test(arguments: [
        ("", "127.0.0.1/32 192.0.2.2/32 [::1]/128 [fd00::2]/128"),
        ("mynetworks_style = subnet\n", "127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64"),
        ("mynetworks_style = class\ninet_protocols = ipv4\n", "127.0.0.0/8 192.0.2.0/24"),
        ("mynetworks_style = subnet\ninet_interfaces = loopback-only\n", "127.0.0.0/8 [::1]/128"),
        ("compatibility_level = 0\n", "127.0.0.0/8 192.0.2.0/24 [::1]/128 [fd00::]/64"),
        ("mynetworks = 10.0.0.0/8\n", "10.0.0.0/8"),
    ])
    func networks(main: String, expected: String) throws {
        #expect(try #require(load(main).0).main.text("mynetworks") == expected)
    }

    @Test(arguments: [
        ("", "mx.localdomain", "localdomain"), ("mydomain = example.com\n", "mx.example.com", "example.com"),
        ("myhostname = a.b.c\n", "a.b.c", "b.c"), ("myhostname = a.$mydomain\nmydomain = d.e\n", "a.d.e", "d.e"),
        ("myhostname = short\n", "short", "localdomain"),
    ])
    func identity(main: String, hostName: String, domain: String) throws {
        let settings = try #require(load(main).0).main
        #expect(settings.text("myhostname") == hostName)
        #expect(settings.text("mydomain") == domain)
        #expect(settings.text("myorigin") == hostName)
    }

    @Test func originAndListsComeFromFiles() throws {
        let (loaded, diagnostics) = load(
            "myorigin = /etc/mailname\nmynetworks = 127.0.0.0/8, /c/nets, !/c/not\nlocal_recipient_maps =\n",
            files: [
                "/etc/mailname": "mail.example.org\nmore\n", "/c/nets": "# ours\n10.0.0.0/8 /c/inner\n",
                "/c/inner": "192.0.2.0/24,\n  198.51.100.0/24\n", "/c/not": "10.1.0.0/16",
            ]
        )
        #expect(diagnostics.errors.isEmpty)
        let settings = try #require(loaded).main
        #expect(settings.text("myorigin") == "mail.example.org")
        #expect(settings.list("mynetworks") == ["127.0.0.0/8", "10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/24", "!10.1.0.0/16"])
        #expect(try #require(loaded).files == ["/c/main.cf", "/c/master.cf", "/etc/mailname", "/c/nets", "/c/inner", "/c/not"])
    }

    @Test func disabledServices() throws {
        let master = "smtp inet n - n - - smtpd\n2525 inet n - n - - smtpd\nfoo unix - - n - - smtp\n"
        let (loaded, _) = load("master_service_disable = !2525/inet, inet\n", master: master)
        #expect(try #require(loaded).services.map { $0.role == .disabled } == [true, false, false])
    }
}
