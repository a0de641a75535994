import NIOCore
import SMTPCore

extension FuzzTarget {
    /// BDAT's framing. The input is content, cut into chunks and into packets in ways that come from it; the session must take exactly what
    /// was announced, whatever it thinks of the chunk.
    static let chunks = FuzzTarget(
        "chunks",
        words: [
            "\r\n.\r\n", "\n.\n", "\r.\r", "\r\n", "\n", "\r", ".", "QUIT\r\n", "RSET\r\n", "BDAT 5 LAST\r\n",
            "MAIL FROM:<evil@x.example>\r\n",
            "DATA\r\n", "Subject: x\r\n\r\n",
        ],
        seeds: [
            "\u{0}Subject: x\r\n\r\nhello\r\n", "\u{1}Subject: x\r\n\r\nbefore\r\n.\r\nMAIL FROM:<evil@x.example>\r\n.\r\n", "\u{2}a\n.\nb",
            "\u{43}QUIT\r\nRSET\r\nBDAT 5 LAST\r\nQUIT\r\n", "\u{14}\r\r\n.\r\r\n\r", "\u{8}RSET\r\n", "\u{23}.\r\n", "\u{0}",
        ]
    ) { bytes in
        guard let choice = bytes.first else { return }
        let content = Array(bytes.dropFirst().prefix(4096))
        let (refused, isRefused) = manner(choice)
        let harness = try SessionHarness(refused)
        for line in ["EHLO x\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@mx.test.example>\r\n"] { harness.send(Array(line.utf8)) }
        let before = try codes(harness.output).count
        let chunks = content.pieces(maximum: 1 + Int(choice >> 4) * 20)
        var wire: [UInt8] = []
        for chunk in chunks { wire += Array("BDAT \(chunk.count)\r\n".utf8) + chunk }
        wire += Array("BDAT 0 LAST\r\nNOOP\r\n".utf8)
        for packet in wire.pieces(maximum: choice & 4 == 0 ? 7 : 500) { harness.send(packet) }
        let replies = Array(try codes(harness.output).dropFirst(before))
        try harness.hangUp()
        try require(replies.count == chunks.count + 2, "\(replies.count) replies to \(chunks.count) chunks: \(shown(harness.output))")
        try require(replies.last == 250, "not a NOOP any more: \(shown(harness.output))")
        try require(harness.queue.messages.count <= 1, "\(harness.queue.messages.count) messages")
        if isRefused(content) {
            try require(harness.queue.messages.isEmpty, "a refused chunk became a message")
            return
        }
        try require(replies.allSatisfy { $0 == 250 }, "refused: \(replies)")
        guard let message = harness.queue.messages.first else { throw FuzzViolation(description: "no message") }
        try checkChunked(message.content, content)
    }

    /// The parameters, and whether content is refused under them.
    private static func manner(_ choice: UInt8) -> ([String: String], @Sendable ([UInt8]) -> Bool) {
        let errors = ["smtpd_hard_error_limit": "100000", "smtpd_forbid_bare_newline_exclusions": ""]
        switch choice & 3 {
        case 0: return (errors, { _ in false })
        case 1: return (errors.merging(["smtpd_forbid_bare_newline": "no"]) { $1 }, { _ in false })
        case 2:
            return (
                errors.merging(["smtpd_forbid_bare_newline": "reject"]) { $1 },
                { content in content.indices.contains { content[$0] == 0x0A && ($0 == 0 || content[$0 - 1] != 0x0D) } }
            )
        default: return (errors.merging(["smtpd_data_restrictions": "reject"]) { $1 }, { _ in true })
        }
    }

    private static func codes(_ output: [UInt8]) throws -> [Int] {
        try output.split(separator: 0x0A).compactMap { line in
            guard let code = Int(String(decoding: line.prefix(3), as: UTF8.self)), line.count > 3 else {
                throw FuzzViolation(description: "no reply: \(shown(line))")
            }
            return line[line.startIndex + 3] == 0x20 ? code : nil
        }
    }

    /// All of the content has arrived, in one message, and in lines that only CRLF ends.
    private static func checkChunked(_ stored: [UInt8], _ content: [UInt8]) throws {
        var previous: UInt8 = 0
        for byte in stored {
            try require(byte != 0x0A || previous == 0x0D, "a bare line feed in a message")
            try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in a message")
            previous = byte
        }
        try require(stored.isEmpty || previous == 0x0A, "a message that ends within a line")
        let dots = { (bytes: [UInt8]) in bytes.count { $0 == UInt8(ascii: ".") } }
        // Our Received header has dots of its own; none of the client's may be missing.
        try require(dots(stored) >= dots(content), "a dot is missing")
    }
}
