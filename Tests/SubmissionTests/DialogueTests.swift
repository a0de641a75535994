import Foundation
import PosternTesting
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

    @Test(arguments: files)
    func play(_ name: String) async throws {
        let file = try DialogueFile(String(contentsOf: Self.root.appendingPathComponent(name), encoding: .utf8))
        if file.needsServer { return }
        let failures = try await SessionServer.run(file.parameters) { server in
            var player = DialoguePlayer(
                port: server.port,
                log: { pattern in await server.log.line(matching: pattern) != nil },
                messageLines: { server.queue.messages.last?.content.components(separatedBy: "\r\n") ?? [] }
            )
            try await player.play(file)
            return player.failures
        }
        #expect(failures == [])
    }
}
