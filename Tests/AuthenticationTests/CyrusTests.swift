import Foundation
import NIOPosix
import Testing

@testable import Authentication

/// Our worker over the real libsasl2, with a private smtpd.conf and a private sasldb; the other side is the real libsasl2, too.
/// Serialized: the library is configured once per process, so each test prepares it anew.
@Suite("Cyrus worker", .serialized, .enabled(if: Tool.saslpasswd2 != nil))
struct CyrusTests {
    @Test func offersWhatSmtpdConfListsInItsOrder() throws {
        let home = try Home("mech_list: SCRAM-SHA-256 plain LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 ANONYMOUS")
        defer { home.remove() }
        let mechanisms = try home.prepare()
        #expect(mechanisms.map(\.name) == ["SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "ANONYMOUS"])
        let flags = Dictionary(uniqueKeysWithValues: mechanisms.map { ($0.name, $0.flags) })
        #expect(flags["PLAIN"]?.contains(.plaintext) == true && flags["LOGIN"]?.contains(.plaintext) == true)
        #expect(flags["CRAM-MD5"]?.contains(.plaintext) == false)
        #expect(flags["ANONYMOUS"]?.contains(.anonymous) == true && flags["PLAIN"]?.contains(.anonymous) == false)
        #expect(flags["DIGEST-MD5"]?.contains(.mutualAuth) == true && flags["CRAM-MD5"]?.contains(.mutualAuth) == false)
    }

    @Test func noMechanismIsAnErrorThatSaysSo() throws {
        let home = try Home("mech_list: NONESUCH")
        defer { home.remove() }
        let error = #expect(throws: SASLConfigurationError.self) { try home.prepare() }
        #expect(error?.description.hasPrefix("no SASL authentication mechanisms") == true)
        #expect(error?.description.contains("NONESUCH") == true)
    }

    @Test(arguments: ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
    func everyMechanismLogsIn(mechanism: String) async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers()
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        #expect(try await home.login(client, mechanism, "alice", "secret") == .success(username: "alice"))
        #expect(try await home.login(client, mechanism, "alice@mx.test.example", "secret") == .success(username: "alice@mx.test.example"))
        for (user, password) in [("alice", "wrong"), ("nobody", "secret")] {
            guard case .rejected("authentication failure", _) = try await home.login(client, mechanism, user, password) else {
                Issue.record("\(mechanism) let \(user) with \(password) in, or failed otherwise")
                continue
            }
        }
    }

    @Test func aRealmOtherThanTheHostName() async throws {
        let home = try Home()
        defer { home.remove() }
        try home.addUser("bob", "hunter2", realm: "example.org")
        let client = try home.startWorkers(localDomain: "example.org")
        #expect(try await home.login(client, "PLAIN", "bob", "hunter2") == .success(username: "bob@example.org"))
        #expect(try await home.login(client, "CRAM-MD5", "bob", "hunter2") == .success(username: "bob@example.org"))
        guard case .rejected = try await home.login(client, "PLAIN", "alice", "secret") else {
            Issue.record("alice has no account in that realm")
            return
        }
    }

    /// Verified against Debian's Postfix 3.7.11 with the same smtpd.conf: answer, name and the library's words.
    static let oracle: [(mechanism: String, lines: [String], step: AuthenticationStep, log: [String])] = [
        (
            "PLAIN", ["\0alice\0bad"], .rejected(reason: "authentication failure", username: "alice"),
            ["failure: Password verification failed"]
        ),
        (
            "PLAIN", ["\0nobody\0bad"], .rejected(reason: "authentication failure", username: "nobody"),
            ["failure: Password verification failed"]
        ),
        ("PLAIN", ["garbage"], .rejected(reason: "bad protocol / cancel", username: nil), ["failure: Can only find author (no password)"]),
        ("PLAIN", ["\0\0"], .unavailable(reason: "generic failure", username: nil), ["failure: All-whitespace username."]),
        (
            "PLAIN", ["root\0alice\0secret"], .rejected(reason: "authentication failure", username: "root"),
            ["failure: Requested identity not authenticated identity"]
        ),
        (
            "PLAIN", ["\0al\tice\u{1}\0bad"], .rejected(reason: "authentication failure", username: "al?ice?"),
            ["failure: Password verification failed"]
        ),
        ("FOO", [], .rejected(reason: "no mechanism available", username: nil), ["failure: Couldn't find mech FOO"]),
        ("LOGIN", ["", "nobody", "bad"], .rejected(reason: "authentication failure", username: "nobody"), []),
        ("LOGIN", ["", "", ""], .unavailable(reason: "generic failure", username: nil), ["failure: All-whitespace username."]),
        ("LOGIN", ["alice", "secret"], .success(username: "alice"), []),
        ("LOGIN", ["", "alice", "secret"], .success(username: "alice"), []),
        (
            "CRAM-MD5", ["", "alice deadbeef"], .rejected(reason: "authentication failure", username: "alice"),
            ["failure: incorrect digest response"]
        ),
        (
            "CRAM-MD5", ["", "nobody 0123456789abcdef0123456789abcdef"], .rejected(reason: "authentication failure", username: "nobody"), []
        ),
        ("DIGEST-MD5", ["", "garbage"], .rejected(reason: "authentication failure", username: nil), ["failure: Parse error"]),
        (
            "SCRAM-SHA-1", ["", "n,,n=nobody,r=abc"], .rejected(reason: "authentication failure", username: "nobody"),
            ["failure: unable to canonify user and get auxprops"]
        ),
        (
            "SCRAM-SHA-1", ["", "garbage"], .rejected(reason: "bad protocol / cancel", username: nil),
            ["failure: Invalid SCRAM-SHA-1 input"]
        ),
    ]

    @Test(arguments: oracle)
    func answersAsPostfixDoes(mechanism: String, lines: [String], step: AuthenticationStep, log: [String]) async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers()
        let words = Words()
        let first = lines.first.map { $0.isEmpty ? nil : base64($0) } ?? nil
        var asked = request(mechanism, first)
        asked.log = AuthenticationLog { words.add($0) }
        var (last, exchange) = await client.begin(asked)
        for line in lines.dropFirst() {
            guard case .challenge = last else { break }
            last = await exchange?.continue(base64(line)) ?? last
        }
        exchange = nil
        #expect(last == step)
        #expect(words.all == log.map { "SASL authentication \($0)" })
    }

    @Test(
        arguments: [
            ("!!!!", "bad protocol / cancel"), ("!!!", "another step is needed in authentication"),
            ("=", "another step is needed in authentication"),
        ]
    )
    func badBase64(text: String, reason: String) async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers()
        #expect(await client.begin(request("PLAIN", text)).step == .rejected(reason: reason, username: nil))
        let (_, exchange) = await client.begin(request("LOGIN", nil))
        #expect(await exchange?.continue(text) == .rejected(reason: reason, username: nil))
        let after = await client.begin(request("PLAIN", base64("\0alice\0secret"))).step
        #expect(after == .success(username: "alice"))
    }

    @Test func anAbortedExchangeLeavesTheWorkerUsable() async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers()
        for _ in 0..<120 {
            let (step, exchange) = await client.begin(request("LOGIN", nil))
            #expect(step == .challenge("VXNlcm5hbWU6"))
            exchange?.cancel()
        }
        #expect(await client.begin(request("PLAIN", base64("\0alice\0secret"))).step == .success(username: "alice"))
    }

    @Test func theLibraryHoldsTheSecurityOptions() async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers(options: [.noanonymous, .noplaintext], tlsOptions: .noanonymous)
        try await waitUntil { !client.mechanisms(tlsActive: true).isEmpty }
        #expect(!client.mechanisms(tlsActive: false).contains("PLAIN") && client.mechanisms(tlsActive: true).contains("PLAIN"))
        #expect(!client.mechanisms(tlsActive: true).contains("ANONYMOUS"))
        #expect(
            await client.begin(request("PLAIN", base64("\0alice\0secret"))).step
                == .rejected(reason: "encryption needed to use mechanism", username: nil)
        )
        guard case .rejected = await client.begin(request("ANONYMOUS", base64("me"), tls: true)).step else {
            Issue.record("ANONYMOUS")
            return
        }
        #expect(await client.begin(request("PLAIN", base64("\0alice\0secret"), tls: true)).step == .success(username: "alice"))
    }

    @Test func aMissingSasldbIsOurTroubleNotTheClients() async throws {
        let home = try Home()
        defer { home.remove() }
        let client = try home.startWorkers()
        try FileManager.default.removeItem(atPath: home.directory + "/sasldb2")
        let words = Words()
        var asked = request("PLAIN", base64("\0alice\0secret"))
        asked.log = AuthenticationLog { words.add($0) }
        #expect(await client.begin(asked).step == .unavailable(reason: "generic failure", username: "alice"))
        #expect(words.all.last == "SASL authentication problem: unable to open sasldb \(home.directory)/sasldb2: No such file or directory")
    }

    @Test func aMissingPluginIsOurTroubleNotTheClients() async throws {
        let home = try Home("auxprop_plugin: nosuchplugin\nmech_list: PLAIN CRAM-MD5")
        defer { home.remove() }
        let client = try home.startWorkers()
        #expect(
            await client.begin(request("PLAIN", base64("\0alice\0secret"))).step
                == .unavailable(reason: "no mechanism available", username: "alice")
        )
        #expect(
            try await home.login(client, "CRAM-MD5", "alice", "secret") == .unavailable(reason: "no mechanism available", username: "alice")
        )
    }

    @Test func noSaslauthdIsUnavailableAndNamesThePath() async throws {
        let home = try Home("pwcheck_method: saslauthd\nsaslauthd_path: DIR/run/mux\nmech_list: PLAIN LOGIN")
        defer { home.remove() }
        let client = try home.startWorkers()
        let words = Words()
        var asked = request("PLAIN", base64("\0alice\0secret"))
        asked.log = AuthenticationLog { words.add($0) }
        #expect(await client.begin(asked).step == .unavailable(reason: "generic failure", username: "alice"))
        #expect(
            words.all.last
                == "SASL authentication problem: cannot connect to saslauthd server at \(home.directory)/run/mux: No such file or directory"
        )
        let problem = SASLBackEndProbe.problems(home.profile()).first
        #expect(problem?.advice.contains("-m \(home.directory)/run") == true)
    }

    /// A second mount of /etc/sasldb2 for saslauthd alone: it knows no other place.
    @Test(.enabled(if: Tool.canStartSaslauthd))
    func realSaslauthd() async throws {
        let home = try Home("pwcheck_method: saslauthd\nsaslauthd_path: DIR/run/mux\nmech_list: PLAIN LOGIN")
        defer { home.remove() }
        let process = try home.startSaslauthd(directory: "\(home.directory)/run")
        defer { Tool.end(process) }
        try await waitUntil { FileManager.default.fileExists(atPath: "\(home.directory)/run/mux") }
        let client = try home.startWorkers()
        // saslauthd looks for exactly the realm it is given, and libsasl2 gives none for a bare name.
        let alice = "alice@mx.test.example"
        for mechanism in ["PLAIN", "LOGIN"] {
            #expect(try await home.login(client, mechanism, alice, "secret") == .success(username: alice))
            #expect(try await home.login(client, mechanism, alice, "wrong") == .rejected(reason: "authentication failure", username: alice))
            #expect(
                try await home.login(client, mechanism, "alice", "secret") == .rejected(reason: "authentication failure", username: "alice")
            )
        }
        #expect(SASLBackEndProbe.problems(home.profile()).isEmpty)
    }

    /// `saslauthd -m QUEUE_DIRECTORY/var/run/saslauthd`, as the Debian recipe has it for a chrooted smtpd.
    @Test(.enabled(if: Tool.canStartSaslauthd))
    func saslauthdBelowTheChroot() async throws {
        let home = try Home("pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN")
        defer { home.remove() }
        let process = try home.startSaslauthd(directory: "\(home.directory)/queue/var/run/saslauthd")
        defer { Tool.end(process) }
        try await waitUntil { FileManager.default.fileExists(atPath: "\(home.directory)/queue/var/run/saslauthd/mux") }
        let client = try home.startWorkers(localDomain: "mx.test.example", chroot: "\(home.directory)/queue")
        #expect(await client.begin(request("PLAIN", base64("\0alice\0secret"))).step == .success(username: "alice@mx.test.example"))
    }
}

@Suite("SASL client of the relay")
struct SASLClientTests {
    @Test func choosesNoPlaintextByDefault() throws {
        let client = try SASLClient(host: "mx.example", credentials: .init(username: "u", password: "p"))
        #expect(throws: SASLClient.Failure("no mechanism available")) { try client.start(offered: ["PLAIN", "LOGIN"]) }
    }

    @Test func plainWithInitialResponse() throws {
        let client = try SASLClient(
            host: "mx.example",
            credentials: .init(username: "user", password: "pass"),
            securityOptions: .noanonymous
        )
        let (mechanism, response) = try client.start(offered: ["PLAIN"])
        #expect(mechanism == "PLAIN" && response == base64("\0user\0pass"))
    }

    @Test func plainWithAuthorizationID() throws {
        let client = try SASLClient(
            host: "mx.example",
            credentials: .init(username: "user", password: "pass"),
            securityOptions: .noanonymous,
            sendAuthorizationID: true
        )
        #expect(try client.start(offered: ["PLAIN"]).initialResponse == base64("user\0user\0pass"))
    }

    /// The example of RFC 2195.
    @Test func cramMD5() throws {
        let client = try SASLClient(host: "mx.example", credentials: .init(username: "tim", password: "tanstaaftanstaaf"))
        let (mechanism, response) = try client.start(offered: ["CRAM-MD5", "PLAIN"])
        #expect(mechanism == "CRAM-MD5" && response == nil)
        let answer = try client.step(challenge: base64("<1896.697170952@postoffice.reston.mci.net>"))
        #expect(answer == base64("tim b913a602c7eda7a495b4e6e7334d3890"))
    }

    @Test(arguments: ["!!!!", "AAA", "="])
    func brokenChallenge(text: String) throws {
        let client = try SASLClient(host: "mx.example", credentials: .init(username: "u", password: "p"))
        _ = try client.start(offered: ["CRAM-MD5"])
        #expect(throws: SASLClient.Failure.self) { try client.step(challenge: text) }
    }

    @Test func namesFromTheWireAreChecked() throws {
        let client = try SASLClient(host: "mx.example", credentials: .init(username: "u", password: "p"))
        #expect(throws: SASLClient.Failure.self) { try client.start(offered: ["CRAM-MD5 PLAIN", "", String(repeating: "A", count: 500)]) }
    }
}
