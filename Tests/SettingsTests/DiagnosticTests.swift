import Settings
import Testing

/// What `check` says, by file and line.
@Suite struct DiagnosticTests {
    @Test func aLineWithAnErrorIsLeftOutAndTheRestCanBeExamined() throws {
        let main = """
            smtpd_recipient_limit = many
            reject_tempfail_action = some
            relay_domains = example.org
            queue_directory = ${
            """
        let files = ["/c/main.cf": main, "/c/master.cf": "2525 inet x - n - - smtpd -o smtpd_timeout=soon -o smtpd_banner=hello\n"]
        #expect(Configuration.load(directory: "/c", environment: machine(files)).0 == nil)
        let (examined, diagnostics) = Configuration.examine(directory: "/c", environment: machine(files))
        let configuration = try #require(examined)
        #expect(diagnostics.errors.count == 5)
        #expect(configuration.main.integer("smtpd_recipient_limit") == 1000)
        #expect(
            configuration.main.text("unknown_address_tempfail_action") == "defer_if_permit",
            "a default that refers to the line left out"
        )
        #expect(configuration.main.list("relay_domains") == ["example.org"])
        #expect(configuration.main.text("queue_directory") == "/var/spool/postfix")
        let service = try #require(configuration.smtpdServices.first)
        #expect(service.settings.duration("smtpd_timeout") == .seconds(300))
        #expect(service.settings.text("smtpd_banner") == "hello")
    }

    @Test func allProblemsAreFoundInOneRun() {
        let main = """
            compatibility_level = 3.6
            smtpd_timeout = soon
            myhostname
            smtpd_sasl_auth_enable = true
            smtpd_hard_error_limit = ten
            unknown_client_reject_code = 200
            smtpd_tls_security_level = must
            smtpd_sasl_security_options = noanonymous, noplain
            smtpd_milters = inet:localhost:8891
            relayhost = $relayhost
            smtpd_banner = ${myhostname
            mynetworks = /c/missing
              10.0.0.0/8
            smtpd_recipient_restrictions = check_client_access { inline:{a=b}
            """
        let master = """
            smtp inet x - n - - smtpd
            2525 inet n - n - -
            2526 tcp n - n soon many smtpd
            2527 inet n - n - - smtpd -o foo -o smtpd_banner = x
            2528 inet n - n - - qmqpd
            nosuch inet n - n - - smtpd
            2529 inet n - n - - smtpd
              -o { smtpd_timeout = 5x }
            127.0.0.1:2529 inet n - n - - smtpd
            """
        let (configuration, diagnostics) = load("", files: ["/c/main.cf": main, "/c/master.cf": master])
        #expect(configuration == nil)
        let expected = [
            "/c/main.cf:2: smtpd_timeout must be a time such as 30s, 5m, 2h or 1d, not \"soon\"",
            "/c/main.cf:3: missing \"=\" after \"myhostname\"",
            "/c/main.cf:4: smtpd_sasl_auth_enable must be yes or no, not \"true\"",
            "/c/main.cf:5: smtpd_hard_error_limit must be a number, not \"ten\"",
            "/c/main.cf:6: unknown_client_reject_code must be at least 400, not 200",
            "/c/main.cf:7: smtpd_tls_security_level must be one of none, may, encrypt, not \"must\"",
            "/c/main.cf:8: smtpd_sasl_security_options: \"noplain\" is not one of noplaintext, noactive, nodictionary, noanonymous, forward_secrecy, mutual_auth",
            "/c/main.cf:9: smtpd_milters is set, but not implemented yet, and cannot safely be ignored",
            "/c/main.cf:10: relayhost: $relayhost refers to itself: relayhost -> relayhost",
            "/c/main.cf:11: smtpd_banner: missing \"}\" after \"${\"",
            "/c/main.cf:12: open /c/missing: No such file or directory",
            "/c/main.cf:14: smtpd_recipient_restrictions: braces are not balanced in \"check_client_access { inline:{a=b}\"",
            "/c/master.cf:1: column private must be y, n or -, not \"x\"",
            "/c/master.cf:2: a service has 8 columns (service type private unpriv chroot wakeup maxproc command), this line has 7",
            "/c/master.cf:3: unknown service type \"tcp\": it must be inet, unix, fifo, pass or unix-dgram",
            "/c/master.cf:3: column wakeup must be a number of seconds, a number and ?, or -, not \"soon\"",
            "/c/master.cf:3: column maxproc must be a number or -, not \"many\"",
            "/c/master.cf:4: -o foo: missing \"=\" after \"foo\"",
            "/c/master.cf:4: -o smtpd_banner: missing \"=\" after \"smtpd_banner\"",
            "/c/master.cf:4: \"=\" is not an option; write -o name=value without spaces, or -o { name = value }",
            "/c/master.cf:5: 2528 runs qmqpd: only smtpd can be served on an inet line",
            "/c/master.cf:6: \"nosuch\" is not a port number, nor a name in known_tcp_ports or /etc/services",
            "/c/master.cf:7: smtpd_timeout must be a time such as 30s, 5m, 2h or 1d, not \"5x\"",
            "/c/master.cf:9: 127.0.0.1:2529 is already taken by 0.0.0.0:2529 at /c/master.cf:7",
        ]
        for line in expected { #expect(diagnostics.errors.contains(line), "\(line)") }
        #expect(diagnostics.errors.count == expected.count, "\(diagnostics.errors.filter { !expected.contains($0) })")
    }

    @Test(arguments: [
        ("smtpd_recipent_limit = 5", "unknown parameter smtpd_recipent_limit; did you mean smtpd_recipient_limit?"),
        ("smtp_sasl_passwd_maps = x", "unknown parameter smtp_sasl_passwd_maps; did you mean smtp_sasl_password_maps?"),
        ("completely_different_thing = x", "unknown parameter completely_different_thing"),
        ("smtpd_tls_cipherlist = x", "smtpd_tls_cipherlist is no longer a parameter; use smtpd_tls_mandatory_ciphers"),
        ("use_srv_lookup = x", "use_srv_lookup belongs to a Postfix newer than 3.7 and has no effect"),
        ("mynetworks = 10.0.0.0/8\nmynetworks = 10.0.0.0/8", "mynetworks is set again; the value of line 2 is not used"),
    ])
    func warnings(main: String, message: String) {
        let (configuration, diagnostics) = load(main + "\n")
        #expect(configuration != nil)
        #expect(diagnostics.warnings.count == 1)
        #expect(diagnostics.warnings.first?.hasSuffix(": warning: \(message)") == true, "\(diagnostics.warnings)")
    }

    @Test(arguments: [
        "mua_x = reject\nsmtpd_client_restrictions = $mua_x", "a = b\nsmtpd_banner = x${a?y}",
        "a = b\nsmtpd_banner = ${{x} == {y} ? {$a} : {}}",
        "greylist = reject\nsmtpd_restriction_classes = greylist", "smtp_destination_recipient_limit = 1",
    ])
    func userDefinedNamesAreFine(main: String) {
        let (configuration, diagnostics) = load(main + "\n", master: smtpdLine + "smtp unix - - n - - smtp\n")
        #expect(configuration != nil)
        #expect(diagnostics.warnings.isEmpty)
    }

    @Test(arguments: [
        ("smtpd_milters = unix:/x", "smtpd_milters"),
        ("header_checks = regexp:/x", "header_checks"), ("smtpd_proxy_filter = x", "smtpd_proxy_filter"),
        ("body_checks = regexp:/x", "body_checks"),
    ])
    func whatRestrictsAndIsNotImplementedStopsTheStart(main: String, name: String) {
        let (configuration, diagnostics) = load(main + "\n")
        #expect(configuration == nil)
        #expect(diagnostics.errors == ["/c/main.cf:2: \(name) is set, but not implemented yet, and cannot safely be ignored"])
    }

    @Test func securityLevelsThatAreNotImplementedSaySo() {
        let (_, diagnostics) = load("smtp_tls_security_level = dane\n")
        #expect(diagnostics.errors == ["/c/main.cf:2: smtp_tls_security_level = dane is not implemented yet"])
    }

    @Test func aValueThatNoServiceSeesIsNoProblem() {
        let (configuration, diagnostics) = load(
            "smtpd_milters = inet:localhost:1\nsmtp_bind_address =\n",
            master: "smtp inet n - n - - smtpd -o smtpd_milters=\n"
        )
        #expect(configuration != nil)
        #expect(diagnostics.errors.isEmpty)
    }

    @Test func transportsThatAreNotInUseOnlyWarn() {
        let master = smtpdLine + "smtp unix - - n - - smtp\namavis unix - - n - 2 smtp -o smtp_send_xforward_command=yes\n"
        let (configuration, diagnostics) = load("", master: master)
        #expect(configuration != nil)
        #expect(diagnostics.warnings.count == 1)
        #expect(load("transport_maps = texthash:/x\n", master: master).0 == nil)
    }

    @Test func overridesOfCleanupAreNotSkippedSilently() {
        let (configuration, diagnostics) = load("", master: smtpdLine + "cleanup unix n - n - 0 cleanup -o header_checks=regexp:/x\n")
        #expect(configuration == nil)
        #expect(diagnostics.errors == ["/c/master.cf:2: header_checks is set, but not implemented yet, and cannot safely be ignored"])
        let (other, found) = load("", master: smtpdLine + "cleanup unix n - n - 0 cleanup -o always_add_missing_headers=yes\n")
        #expect(other != nil)
        #expect(found.warnings.count == 1)
    }

    @Test func whatIsOneForTheServerCannotBeSetForAService() {
        let master = "2525 inet n - n - - smtpd -o queue_minfree=5000000 -o maximal_backoff_time=9h\n"
        let (configuration, diagnostics) = load("", master: master)
        #expect(configuration == nil)
        #expect(
            diagnostics.errors == [
                "/c/master.cf:1: queue_minfree is one for the whole server and cannot be set for 2525 alone; set it in main.cf"
            ]
        )
        #expect(diagnostics.warnings.contains { $0.hasPrefix("/c/master.cf:1: warning: maximal_backoff_time is one for the whole server") })
    }

    @Test func noticesOfEachClassAreSent() {
        #expect(load("notify_classes = bounce, 2bounce, data, delay, policy, protocol, resource, software\n").0 != nil)
        let (configuration, diagnostics) = load("notify_classes = resource, bounces\n")
        #expect(configuration == nil)
        #expect(diagnostics.errors.count == 1)
    }

    @Test func linesShorterThanPostfixAllowsAreRefused() {
        #expect(load("line_length_limit = 511\n").1.errors == ["/c/main.cf:2: line_length_limit must be at least 512, not 511"])
        #expect(load("line_length_limit = 512\n").0 != nil)
    }

    @Test func missingFilesAreErrors() {
        let (configuration, diagnostics) = Configuration.load(directory: "/nowhere", environment: machine([:]))
        #expect(configuration == nil)
        #expect(diagnostics.errors == ["cannot read /nowhere/main.cf: No such file or directory"])
    }

    @Test func notesNameTheReason() {
        let (_, diagnostics) = load("biff = no\nmailbox_size_limit = 0\nresolve_dequoted_address = no\n")
        #expect(diagnostics.notes.contains { $0.hasPrefix("/c/main.cf:2: note: biff has no effect: local(8) and virtual(8) delivery") })
        #expect(
            diagnostics.notes.contains("/c/main.cf:4: note: resolve_dequoted_address is not implemented; it would only allow more")
        )
        #expect(!diagnostics.notes.contains { $0.contains("smtpd_banner") })
    }
}
