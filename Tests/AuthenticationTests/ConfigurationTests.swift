import Testing

@testable import Authentication

@Suite("SASL configuration")
struct ConfigurationTests {
    @Test(
        arguments: [
            ("", []), ("noanonymous", .noanonymous), ("noplaintext, noanonymous", [.noplaintext, .noanonymous]),
            ("NoActive nodictionary\tforward_secrecy,mutual_auth", [.noactive, .nodictionary, .forwardSecrecy, .mutualAuth]),
        ] as [(String, SASLSecurityOptions)]
    )
    func securityOptions(text: String, options: SASLSecurityOptions) throws {
        #expect(try SASLSecurityOptions(parsing: text) == options)
        #expect(try SASLSecurityOptions(parsing: options.text) == options)
    }

    @Test func unknownSecurityOptionIsRefused() {
        #expect(throws: SASLConfigurationError.self) { try SASLSecurityOptions(parsing: "noanonymous, nofun") }
    }

    static let mechanisms: [(AuthMechanism.Flags, SASLSecurityOptions, Bool)] = [
        (.plaintext, [], true), (.plaintext, .noanonymous, true), (.plaintext, .noplaintext, false), (.anonymous, .noanonymous, false),
        (.dictionary, .nodictionary, false), (.dictionary, .noactive, true), (.active, .noactive, false), ([], .forwardSecrecy, false),
        (.forwardSecrecy, .forwardSecrecy, true), ([], .mutualAuth, false), (.mutualAuth, [.mutualAuth, .noplaintext], true),
        (.mutualAuth, [.mutualAuth, .forwardSecrecy], false),
    ]

    @Test(arguments: mechanisms)
    func optionsAllowMechanisms(flags: AuthMechanism.Flags, options: SASLSecurityOptions, allowed: Bool) {
        #expect(AuthMechanism(name: "X", flags: flags).isAllowed(by: options) == allowed)
    }

    @Test(
        arguments: [
            ("", "EXTERNAL", true), ("!external, static:rest", "EXTERNAL", false), ("!external, static:rest", "PLAIN", true),
            ("plain login", "LOGIN", true), ("plain login", "CRAM-MD5", false), ("!gssapi, !external, static:all", "GSSAPI", false),
            ("!!plain", "PLAIN", true), ("!static:all plain", "PLAIN", false),
        ]
    )
    func filter(text: String, name: String, accepted: Bool) throws {
        #expect(try MechanismFilter(parsing: text).accepts(name) == accepted)
        #expect(try MechanismFilter(parsing: text).accepts(name.lowercased()) == accepted)
    }

    @Test func anEmptyFilterOfTheServerDiscardsAll() throws {
        #expect(try !MechanismFilter(parsing: " ", emptyAcceptsAll: false).accepts("PLAIN"))
        #expect(try MechanismFilter(parsing: "plain", emptyAcceptsAll: false).accepts("PLAIN"))
    }

    @Test(arguments: ["hash:/etc/x", "/etc/file", "plain, !"])
    func filterRefusesWhatItCannotLookUp(text: String) {
        #expect(throws: SASLConfigurationError.self) { try MechanismFilter(parsing: text) }
    }

    @Test(
        arguments: [
            ("private/auth", .unix("/var/spool/postfix/private/auth")), ("/run/dovecot/auth", .unix("/run/dovecot/auth")),
            ("unix:private/auth", .unix("/var/spool/postfix/private/auth")),
            ("inet:127.0.0.1:12345", .inet(host: "127.0.0.1", port: 12345)),
            ("inet:[::1]:12345", .inet(host: "::1", port: 12345)),
        ] as [(String, DovecotSocket)]
    )
    func dovecotSocket(text: String, socket: DovecotSocket) throws {
        #expect(try DovecotSocket(parsing: text, queueDirectory: "/var/spool/postfix") == socket)
    }

    @Test(arguments: ["", "inet:", "inet:host", "inet:host:0", "inet::25", "inet:host:99999"])
    func brokenDovecotSocket(text: String) {
        #expect(throws: SASLConfigurationError.self) { try DovecotSocket(parsing: text, queueDirectory: "/q") }
    }

    @Test func smtpdConf() {
        let file = SASLConfigurationFile(
            path: "x",
            text: "# comment\npwcheck_method: saslauthd auxprop\n\nMECH_LIST:\tplain login\r\nnonsense\nlog_level:7"
        )
        #expect(file.settings == ["pwcheck_method": "saslauthd auxprop", "mech_list": "plain login", "log_level": "7"])
        #expect(file.usesSaslauthd && file.usesSasldb && file.passwordMethods == ["saslauthd", "auxprop"])
        #expect(file.saslauthdPath == "/var/run/saslauthd/mux" && file.sasldbPath == "/etc/sasldb2")
    }

    @Test func logins() {
        #expect(printableLogin("alice@example.com") == "alice@example.com")
        #expect(printableLogin("müller") == "müller")
        #expect(printableLogin("a\tb\u{1}c\u{7F}d\u{FFFD}") == "a?b?c?d?")
    }

    @Test func networks() {
        #expect(ClientNetwork(address: "192.0.2.1") == ClientNetwork(address: "::ffff:192.0.2.1"))
        #expect(ClientNetwork(address: "192.0.2.1") != ClientNetwork(address: "192.0.2.2"))
        #expect(ClientNetwork(address: "2001:db8::1") == ClientNetwork(address: "2001:db8::2"))
        #expect(ClientNetwork(address: "2001:db8::1") != ClientNetwork(address: "2001:db8:0:1::1"))
    }

    @Test func queueIsFair() {
        var queue = FairQueue<String, Int>(capacity: 6, capacityPerKey: 4)
        func isAdmitted(_ admission: FairQueue<String, Int>.Admission) -> Bool { if case .admitted = admission { true } else { false } }
        for number in 1...4 { #expect(isAdmitted(queue.append(number, key: "flood"))) }
        if case .refused = queue.append(5, key: "flood") {} else { Issue.record("the limit per key is not held") }
        #expect(isAdmitted(queue.append(10, key: "a")))
        #expect(isAdmitted(queue.append(20, key: "b")))
        // Full: the longest line gives its newest for a newcomer.
        if case .displaced(4) = queue.append(30, key: "c") {} else { Issue.record("nobody made room") }
        #expect(queue.count == 6)
        queue.remove(key: "b") { $0 == 20 }
        var served: [Int] = []
        while let next = queue.popFirst() { served.append(next) }
        #expect(served == [1, 10, 30, 2, 3])
        #expect(queue.count == 0)
    }
}
