/// Plays a dialogue over TCP against whatever listens on a port.
package struct DialoguePlayer {
    /// What did not go as written; empty when all did.
    package private(set) var failures: [String] = []
    private let port: Int
    private let log: (String) async -> Bool
    private let messageLines: () -> [String]
    private let startTLS: (DialogueConnection) async throws -> Void

    /// - Parameters:
    ///   - log: whether the server's log has, or soon gets, a line that matches the pattern.
    ///   - messageLines: the lines of the last message the server accepted.
    ///   - startTLS: puts TLS under a connection.
    package init(
        port: Int,
        log: @escaping (String) async -> Bool,
        messageLines: @escaping () -> [String],
        startTLS: @escaping (DialogueConnection) async throws -> Void
    ) {
        self.port = port
        self.log = log
        self.messageLines = messageLines
        self.startTLS = startTLS
    }

    package mutating func play(_ file: DialogueFile) async throws {
        var connection: DialogueConnection?
        var others: [DialogueConnection] = []
        var ahead: String?
        for (number, step) in file.steps {
            switch step {
            case .connect:
                await connection?.close()
                connection = try await connect(file)
            case .another:
                if let connection { others.append(connection) }
                connection = try await connect(file)
            case .startTLS: if let connection { try? await startTLS(connection) }
            case .nothing:
                try await Task.sleep(for: .milliseconds(300))
                if connection?.hasLine == true { failures.append("line \(number): expected nothing yet") }
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
        for other in others { await other.close() }
    }

    private func connect(_ file: DialogueFile) async throws -> DialogueConnection {
        let connection = try await DialogueConnection.connect(port: port)
        // The server may have closed already; what comes next tells.
        if file.parameters["smtpd_tls_wrappermode"] == "yes" { try? await startTLS(connection) }
        return connection
    }

    private static func received(_ connection: DialogueConnection?) async throws -> String {
        do {
            return try await connection?.line() ?? "<EOF>"
        } catch is DialogueConnection.TimedOut {
            return "<nothing>"
        }
    }
}
