/// Plays a dialogue over TCP against whatever listens on a port.
package struct DialoguePlayer {
    /// What did not go as written; empty when all did.
    package private(set) var failures: [String] = []
    private let port: Int
    private let log: (String) async -> Bool
    private let messageLines: () -> [String]

    /// - Parameters:
    ///   - log: whether the server's log has, or soon gets, a line that matches the pattern.
    ///   - messageLines: the lines of the last message the server accepted.
    package init(port: Int, log: @escaping (String) async -> Bool, messageLines: @escaping () -> [String]) {
        self.port = port
        self.log = log
        self.messageLines = messageLines
    }

    package mutating func play(_ file: DialogueFile) async throws {
        var connection: DialogueConnection?
        var ahead: String?
        for (number, step) in file.steps {
            switch step {
            case .connect:
                await connection?.close()
                connection = try await DialogueConnection.connect(port: port)
            case .send(let bytes): try? await connection?.send(bytes)
            case .close: await connection?.close()
            case .moreOfReply:
                repeat { ahead = try await Self.received(connection) } while ahead?.hasPrefix("250-") == true
            case .reply(let pattern):
                let received = ahead
                ahead = nil
                let line = if let received { received } else { try await Self.received(connection) }
                if !DialogueFile.matches(line, pattern) { failures.append("line \(number): expected \"\(pattern)\", got \"\(line)\"") }
            case .end:
                let line = try await Self.received(connection)
                if line != "<EOF>" { failures.append("line \(number): expected the end, got \"\(line)\"") }
            case .log(let pattern):
                if await !log(pattern) { failures.append("line \(number): no line in the log matches \"\(pattern)\"") }
            case .message(let pattern):
                if !messageLines().contains(where: { DialogueFile.matches($0, pattern) }) {
                    failures.append("line \(number): no line of the message matches \"\(pattern)\"")
                }
            }
        }
        await connection?.close()
    }

    private static func received(_ connection: DialogueConnection?) async throws -> String {
        do {
            return try await connection?.line() ?? "<EOF>"
        } catch is DialogueConnection.TimedOut {
            return "<nothing>"
        }
    }
}
