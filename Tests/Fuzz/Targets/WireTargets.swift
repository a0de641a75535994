import HandOff
import NIOCore
import SMTPCore

@testable import Authentication
@testable import PosternDaemon
@testable import Relay
@testable import Resolver

extension FuzzTarget {
    static let reply = FuzzTarget(
        "reply",
        words: ["250", "250-", "550 5.7.1 ", "\r\n", "421 4.7.0", "334 ", "SIZE ", "AUTH PLAIN", "STARTTLS", "-", " "],
        seeds: [
            "250-mx\r\n250-SIZE 10\r\n250 AUTH PLAIN LOGIN\r\n", "550 5.7.1 no\r\n", "220 x ESMTP\r\n250 ok\r\n", "250\r\n", "354 go\n",
        ]
    ) { bytes in
        let whole = replies([bytes[...]])
        for maximum in [1, 5, 100] {
            try require(whole == replies(bytes.pieces(maximum: maximum)), "cut into pieces, \(shown(bytes)) gives other replies")
        }
        for reply in whole.replies {
            try require((200...599).contains(reply.code), "code \(reply.code)")
            try require(reply.text.utf8.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || $0 == 0x0A }, "control character in \(reply.text)")
            try require(!reply.logText.utf8.contains(0x0A), "line end in log text")
            _ = (reply.lines, reply.effectiveStatus, ServerCapabilities(reply, discarding: ["size"]))
        }
    }

    private static func replies(_ pieces: [ArraySlice<UInt8>]) -> ReplyOutcome {
        var limits = ReplyParser.Limits()
        limits.lineLength = 200
        limits.lines = 20
        limits.replySize = 1000
        limits.pendingReplies = 50
        var parser = ReplyParser(limits: limits)
        var outcome = ReplyOutcome()
        do throws(ReplyParser.Failure) {
            for piece in pieces { try parser.consume(Array(piece).span) }
        } catch { outcome.failure = error }
        while let reply = parser.next() { outcome.replies.append(reply) }
        return outcome
    }

    private struct ReplyOutcome: Equatable {
        var replies: [ServerReply] = []
        var failure: ReplyParser.Failure?
    }

    static let dns = FuzzTarget(
        "dns",
        words: ["\u{0}\u{1}", "\u{0}\u{5}", "\u{0}\u{C}", "\u{0}\u{F}", "\u{0}\u{10}", "\u{0}\u{1C}", "\u{3}www", "\u{0}\u{29}"],
        seeds: [
            "\u{12}\u{34}\u{0}\u{0}\u{0}\u{1}\u{0}\u{1}\u{0}\u{0}\u{0}\u{0}\u{1}a\u{0}\u{0}\u{1}\u{0}\u{1}\u{1}a\u{0}\u{0}\u{1}\u{0}\u{1}\u{0}\u{0}\u{0}\u{1}\u{0}\u{4}\u{1}\u{2}\u{3}\u{4}"
        ]
    ) { bytes in
        guard let message = try? DNSMessage(bytes) else { return }
        try require(message.answers.count + message.authorities.count <= bytes.count / 11, "more records than bytes for them")
        for record in message.answers + message.authorities {
            try require(record.name.wire.count <= 255, "a name of \(record.name.wire.count) bytes")
            let names: [DomainName] =
                switch record.data {
                case .name(let name): [record.name, name]
                case .mailExchanger(_, let name): [record.name, name]
                default: [record.name]
                }
            for name in names {
                let text = name.description
                try require(text.utf8.allSatisfy { (0x21...0x7E).contains($0) }, "odd character in \(text)")
            }
            try require(record.timeToLive <= UInt32(Int32.max), "time to live \(record.timeToLive)")
        }
    }

    static let handOff = FuzzTarget(
        "hand-off",
        words: ["\u{0}\u{0}\u{0}", "\u{1}", "\u{2}", "\u{40}", "\u{7F}"],
        seeds: [
            "\u{0}\u{0}\u{0}\u{1}\u{6}", "\u{0}\u{0}\u{0}\u{9}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}",
            "\u{0}\u{0}\u{0}\u{2}\u{42}\u{1}",
        ]
    ) { bytes in
        // As they come, and once more with a length in front: most mutations break the length and would show nothing else.
        for framed in [bytes, lengthPrefixed(bytes)] {
            var input = ByteBuffer(bytes: framed)
            while let frame = try? HandOffFrame.decode(from: &input) {
                let first = encoded(frame)
                var copy = ByteBuffer(bytes: first)
                guard let again = try? HandOffFrame.decode(from: &copy) else {
                    throw FuzzViolation(description: "what was encoded is not understood: \(shown(first))")
                }
                try require(encoded(again) == first && copy.readableBytes == 0, "encoded differently: \(shown(first))")
            }
        }
    }

    private static func encoded(_ frame: HandOffFrame) -> [UInt8] {
        var out = ByteBuffer()
        frame.encode(into: &out)
        return Array(out.readableBytesView)
    }

    private static func lengthPrefixed(_ bytes: [UInt8]) -> [UInt8] {
        var out = ByteBuffer()
        out.writeInteger(UInt32(bytes.count))
        out.writeBytes(bytes)
        return Array(out.readableBytesView)
    }

    static let control = FuzzTarget(
        "control",
        words: [
            "listen", "handoff", "auth", "start", "stop", "failed", "\u{1F}", "list json", "show ", "ALL", "hold ", "delete ", "12",
            "status",
        ],
        seeds: [
            "listen\u{1F}smtp\u{1F}127.0.0.1:25", "handoff\u{1F}0", "auth\u{1F}1", "ready", "failed\u{1F}why", "list json", "delete ALL",
            "show 1A2B", "status",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        if let message = ControlMessage(text: text) {
            if case .failed = message { return }
            try require(ControlMessage(text: message.text) == message, "\(message) is not what it was")
        }
        if let request = QueueRequest(line: text) {
            try require(QueueRequest(line: request.line) == request, "\(request) is not what it was")
        }
    }

    static let authentication = FuzzTarget(
        "authentication",
        words: [
            "VERSION\t1\t2", "MECH\t", "OK\t", "FAIL\t", "CONT\t", "AUTH\t", "user=", "resp=", "\t", "\u{1}", "SPID\t", "DONE", "CANCEL\t",
        ],
        seeds: [
            "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nDONE\n", "AUTH\t1\tPLAIN\tservice=smtp\tresp=AGE=\n", "OK\t1\tuser=a\n",
            "FAIL\t1\treason=x\ttemp\n", "CONT\t1\tAA==\n",
        ]
    ) { bytes in
        var buffer = AuthLineBuffer(limit: 512)
        for piece in bytes.pieces(maximum: 40) {
            buffer.append(piece)
            while let line = try? buffer.next() {
                if let message = AuthServerMessage(line: line) {
                    try require(message.line.utf8.filter { $0 == 0x0A }.count == 1, "more than one line: \(shown(message.line.utf8))")
                    try require(AuthServerMessage(line: Array(message.line.utf8.dropLast())) == message, "\(message) is not what it was")
                }
                if let message = AuthClientMessage(line: line) {
                    try require(message.line.last == 0x0A, "no line end")
                    try require(AuthClientMessage(line: message.line.dropLast()) != nil, "\(shown(message.line)) is not understood")
                }
            }
        }
    }
}
