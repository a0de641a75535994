package import SMTPCore

/// One way in which a sink misbehaves, as `--fail` describes it: `STAGE=ACTION`, then optionally `:every N` or `:first N`.
package struct SinkFault: Sendable, Hashable {
    /// `body` is when the first bytes of the content arrive, `dot` when all of it is there.
    package enum Stage: String, Sendable, Hashable, CaseIterable {
        case connect, ehlo, starttls, auth, mail, rcpt, data, body, dot, quit
    }

    package enum Action: Sendable, Hashable {
        /// 421 and 521 also close the connection.
        case reply(Reply)
        /// No reply ever; input is read and thrown away.
        case hang
        /// The connection is closed without a reply.
        case drop
    }

    package enum Occasion: Sendable, Hashable {
        case always
        /// Each n-th time that the sink, over all connections, comes to the stage.
        case every(Int)
        /// The first n times.
        case first(Int)

        func includes(_ count: Int) -> Bool {
            switch self {
            case .always: true
            case .every(let n): count % n == 0
            case .first(let n): count <= n
            }
        }
    }

    package var stage: Stage
    package var action: Action
    package var occasion: Occasion

    package init(_ stage: Stage, _ action: Action, _ occasion: Occasion = .always) {
        self.stage = stage
        self.action = action
        self.occasion = occasion
    }

    /// Parses `rcpt=450`, `rcpt=550 5.1.1 No such user`, `dot=hang`, `mail=drop:every 3`, `data=451:first 1`.
    package init?(_ text: String) {
        let halves = text.split(separator: "=", maxSplits: 1)
        guard halves.count == 2, let stage = Stage(rawValue: String(halves[0])) else { return nil }
        var what = halves[1]
        var occasion = Occasion.always
        for (word, make) in [(":every ", Occasion.every), (":first ", Occasion.first)] {
            guard let range = what.ranges(of: word).last else { continue }
            guard let count = Int(what[range.upperBound...]), count > 0 else { return nil }
            occasion = make(count)
            what = what[..<range.lowerBound]
        }
        switch what {
        case "hang": self.init(stage, .hang, occasion)
        case "drop": self.init(stage, .drop, occasion)
        default:
            guard let reply = Self.reply(what) else { return nil }
            self.init(stage, .reply(reply), occasion)
        }
    }

    private static func reply(_ text: Substring) -> Reply? {
        let words = text.split(separator: " ", maxSplits: 1)
        guard let digits = words.first, digits.utf8.count == 3, let code = Int(digits), (200..<600).contains(code) else { return nil }
        guard words.count == 2 else {
            let status = code >= 400 ? EnhancedStatusCode(UInt8(code / 100), 3, 0) : nil
            return Reply(code, status, "Error: the sink was told to fail here")
        }
        let rest = words[1].split(separator: " ", maxSplits: 1)
        guard let status = EnhancedStatusCode(rest[0]) else { return Reply(code, nil, String(words[1])) }
        return Reply(code, status, rest.count == 2 ? String(rest[1]) : "")
    }
}
