import Foundation
import NIOCore
import SMTPCore
import Spool
import TLS
import Testing

@testable import Relay

/// STARTTLS, TLS from the first byte, and AUTH towards a next hop.
@Suite struct SecurityTests {
    static func serverContext() throws -> TLSContext {
        let directory = FileManager.default.temporaryDirectory.appending(path: "postern-relay-\(UUID())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let pair = try SelfSignedCertificate.make(names: ["faulty.example"])
        let (certificate, key) = (directory.appending(path: "cert.pem"), directory.appending(path: "key.pem"))
        try Data(pair.certificate.utf8).write(to: certificate)
        try Data(pair.privateKey.utf8).write(to: key)
        var configuration = TLSServerConfiguration()
        configuration.pair = TLSKeyPair(certificateFile: certificate.path, keyFile: key.path)
        return try TLSContext.server(configuration)
    }

    @Test(arguments: ["may", "encrypt"]) func startTLS(level: String) async throws {
        let script = FaultyServer.Script(capabilities: ["STARTTLS", "PIPELINING"], tls: try Self.serverContext())
        let bench = try RelayBench(["smtp_tls_security_level": level, "smtp_tls_loglevel": "1"])
        let server = try await FaultyServer.started(script, on: bench.group)
        #expect(try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"])).outcomes == [.delivered])
        #expect(server.seen.commands.prefix(3) == ["EHLO mail.example.com", "STARTTLS", "EHLO mail.example.com"])
        let line = try #require(bench.log.line("TLS connection established"))
        #expect(
            line.hasPrefix(
                "postfix/smtp: Untrusted TLS connection established to 127.0.0.1[127.0.0.1]:\(server.port): TLSv1.3 with cipher TLS_"
            )
        )
        try await server.stop()
        try await bench.end()
    }

    @Test func wrapperMode() async throws {
        let script = FaultyServer.Script(tls: try Self.serverContext(), isWrapped: true)
        let bench = try RelayBench(["smtp_tls_security_level": "encrypt", "smtp_tls_wrappermode": "yes"])
        let server = try await FaultyServer.started(script, on: bench.group)
        #expect(try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"])).outcomes == [.delivered])
        #expect(!server.seen.commands.contains("STARTTLS"))
        try await server.stop()
        try await bench.end()
    }

    static let failures:
        [(level: String, age: Double, capabilities: [String], actions: [String: FaultyServer.Action], outcome: RecipientOutcome)] = [
            ("encrypt", 0, ["PIPELINING"], [:], .deferred("TLS is required, but was not offered by host HOST")),
            (
                "encrypt", 0, ["STARTTLS"], ["STARTTLS": .say("454 4.3.0 not now")],
                .deferred("TLS is required, but host HOST refused to start TLS: 454 4.3.0 not now")
            ),
            (
                "encrypt", 4000, ["STARTTLS"], ["STARTTLS": .reply(["220 go", "220 garbage"])],
                .deferred("Cannot start TLS: handshake failure")
            ),
            ("may", 0, ["STARTTLS"], ["STARTTLS": .say("454 4.3.0 not now")], .delivered),
            // As Postfix does: in the clear only after the message has waited for minimal_backoff_time.
            ("may", 0, ["STARTTLS"], ["STARTTLS": .close], .deferred("lost connection with HOST while performing the TLS handshake")),
            ("none", 0, ["STARTTLS"], ["STARTTLS": .close], .delivered),
        ]

    @Test(arguments: failures) func failing(
        _ example: (level: String, age: Double, capabilities: [String], actions: [String: FaultyServer.Action], outcome: RecipientOutcome)
    ) async throws {
        let bench = try RelayBench(["smtp_tls_security_level": example.level, "smtp_starttls_timeout": "3s"])
        let server = try await FaultyServer.started(
            FaultyServer.Script(actions: example.actions, capabilities: example.capabilities),
            on: bench.group
        )
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"], age: example.age))
        var expected = example.outcome
        if case .deferred(let text) = expected { expected = .deferred(text.replacing("HOST", with: "127.0.0.1[127.0.0.1]")) }
        #expect(report.outcomes == [expected])
        try await server.stop()
        try await bench.end()
    }

    @Test(arguments: [(0.0, false), (4000.0, true)]) func opportunisticFallback(_ example: (age: Double, delivered: Bool)) async throws {
        // 220, then the connection speaks no TLS.
        let script = FaultyServer.Script(actions: ["STARTTLS": .say("220 go")], capabilities: ["STARTTLS"], faultyConnections: 1)
        let bench = try RelayBench(["smtp_tls_security_level": "may", "smtp_starttls_timeout": "1s"])
        let server = try await FaultyServer.started(script, on: bench.group)
        let report = try await bench.deliver(bench.job(to: ["a@[127.0.0.1]:\(server.port)"], age: example.age))
        #expect(report.outcomes == [example.delivered ? .delivered : .deferred("Cannot start TLS: handshake failure")])
        try await server.stop()
        try await bench.end()
    }

    @Test func authentication() async throws {
        let plain = Data("\u{0}alice\u{0}secret".utf8).base64EncodedString()
        let script = FaultyServer.Script(
            actions: [
                "AUTH PLAIN \(plain)": .say("235 2.7.0 Authentication successful"), "AUTH": .say("535 5.7.8 Error: authentication failed"),
            ],
            capabilities: ["AUTH PLAIN", "PIPELINING"]
        )
        let bench = try RelayBench()
        let server = try await FaultyServer.started(script, on: bench.group)
        for (password, outcome) in [
            ("secret", RecipientOutcome.delivered),
            ("wrong", .deferred("SASL authentication failed; server 127.0.0.1[127.0.0.1] said: 535 5.7.8 Error: authentication failed")),
        ] {
            let routed = try RelayBench(
                [
                    "smtp_sasl_auth_enable": "yes", "smtp_sasl_security_options": "noanonymous",
                    "smtp_sasl_password_maps": "inline:{{[127.0.0.1]:\(server.port) = alice:\(password)}}",
                ],
                routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
            )
            #expect(try await routed.deliver(routed.job(to: ["a@x.example"])).outcomes == [outcome])
            #expect(!routed.log.lines.contains { $0.contains(password) })
            try await routed.end()
        }
        try await server.stop()
        try await bench.end()
    }

    /// `smtp_sasl_security_options` forbids plaintext by default.
    @Test(
        arguments: [
            ([:], "SASL authentication failed; cannot authenticate to server 127.0.0.1[127.0.0.1]: "),
            (
                ["smtp_sasl_mechanism_filter": "cram-md5"],
                "SASL authentication failed: server 127.0.0.1[127.0.0.1] offered no compatible authentication mechanisms"
            ),
        ] as [([String: String], String)]
    )
    func noMechanismLeft(_ parameters: [String: String], _ expected: String) async throws {
        let bench = try RelayBench()
        let server = try await FaultyServer.started(FaultyServer.Script(capabilities: ["AUTH PLAIN LOGIN"]), on: bench.group)
        let routed = try RelayBench(
            ["smtp_sasl_auth_enable": "yes", "smtp_sasl_password_maps": "static:u:p"].merging(parameters) { $1 },
            routes: ["x.example": "smtp:[127.0.0.1]:\(server.port)"]
        )
        let report = try await routed.deliver(routed.job(to: ["a@x.example"]))
        guard case .deferred(let text) = report.outcomes[0] else { return #expect(Bool(false), "\(report.outcomes)") }
        #expect(text.hasPrefix(expected))
        #expect(!server.seen.commands.contains { $0.hasPrefix("AUTH") })
        try await server.stop()
        try await routed.end()
        try await bench.end()
    }
}
