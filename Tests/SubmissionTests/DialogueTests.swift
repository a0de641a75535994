import Foundation
import PosternTesting
import Resolver
import SMTPCore
import Testing

/// The dialogues of `Tests/Dialogues`, over a real socket.
@Suite struct DialogueTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent(
        "Dialogues"
    )

    static let files: [String] = {
        let found = FileManager.default.enumerator(atPath: root.path)?.allObjects as? [String] ?? []
        return found.filter { $0.hasSuffix(".smtp") }.sorted()
    }()

    @Test func thereAreDialogues() { #expect(Self.files.count >= 10) }

    /// What needs the queue or libsasl2 is cancelled here, with the reason in its file; Tests/Acceptance/test_dialogues.py plays all.
    @Test(arguments: files)
    func play(_ name: String) async throws {
        let file = try DialogueFile(String(contentsOf: Self.root.appendingPathComponent(name), encoding: .utf8))
        if let reason = file.reasonForServer { try Test.cancel("\(name): played against the built server only: \(reason)") }
        let asks = file.parameters["smtpd_tls_ask_ccert"] == "yes" || file.parameters["smtpd_tls_req_ccert"] == "yes"
        let hasTLS = file.parameters.keys.contains { $0.hasPrefix("smtpd_tls") }
        let tls = hasTLS ? try TestTLS(asksForCertificate: asks) : nil
        let filter = file.parameters["smtpd_sasl_mechanism_filter"]?.uppercased()
        let authenticator = DialogueAuthenticator(offered: ["PLAIN", "LOGIN"].filter { filter == nil || filter == $0 })
        let names = ScriptedNameService(
            peers: [IPAddress("127.0.0.1")!: PeerName(name: "localhost", reverseName: "localhost", status: .verified)]
        )
        let serverTLS = tls?.server
        let failures = try await SessionServer.run(
            file.parameters,
            tls: serverTLS,
            authenticator: authenticator,
            names: names,
            flushDomains: "flush.example, .dot.example, [192.0.2.9]"
        ) { server in
            var player = DialoguePlayer(
                port: server.port,
                log: { pattern in await server.log.line(matching: pattern) != nil },
                messageLines: { server.queue.messages.last?.lines ?? [] },
                startTLS: { try await tls?.start(on: $0) }
            )
            try await player.play(file)
            return player.failures
        }
        #expect(failures == [])
    }
}

extension MemoryQueue.Message {
    /// Envelope and content as a next hop would read them.
    fileprivate var lines: [String] {
        ["MAIL FROM:<\(envelope.sender)>"] + envelope.recipients.map { "RCPT TO:<\($0.address)>" } + content.components(separatedBy: "\r\n")
    }
}
