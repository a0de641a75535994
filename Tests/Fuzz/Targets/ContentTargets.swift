import Cleanup
import NIOCore
import SMTPCore
import Submission

@testable import Relay

extension FuzzTarget {
    static let data = FuzzTarget(
        "data",
        words: ["\r\n.\r\n", "\n.\n", "\n.\r\n", "\r.\r", "\r\n.\r", "\r\n.\n", "\r\n..\r\n", ".", "\0.", "\u{80}.", "\r\r\n", "a"],
        seeds: ["a\r\n.\r\nMAIL FROM:<x@y>\r\n", "a\n.\nb\r\n.\r\n", ".\r\n", "a\r\n..b\r\n.\r\n", "a\r.\rb\r\n.\r\n", "\n.\r\nx\r\n.\r\n"]
    ) { bytes in
        for lineEnds in [DataDecoder.LineEnds.strict, .lenient] {
            for replaces in [true, false] {
                let whole = decode([bytes[...]], lineEnds, replaces)
                for maximum in [1, 3, 64] { try requireSame(whole, decode(bytes.pieces(maximum: maximum), lineEnds, replaces), bytes) }
                if bytes.count <= 48 {
                    for cut in 0...bytes.count {
                        try requireSame(whole, decode([bytes[..<cut], bytes[cut...]], lineEnds, replaces), bytes)
                    }
                }
                if lineEnds == .strict { try checkEnd(whole, bytes) }
                if replaces { try checkLines(whole, bytes) }
            }
        }
    }

    private struct Decoded: Equatable {
        var content: [UInt8]
        /// Where the message ended, in the input.
        var end: Int?
        var sawBareLineFeed: Bool
    }

    private static func decode(_ pieces: [ArraySlice<UInt8>], _ lineEnds: DataDecoder.LineEnds, _ replaces: Bool) -> Decoded {
        var decoder = DataDecoder(lineEnds: lineEnds, replacesStrayCR: replaces)
        var output = ByteBuffer()
        var consumed = 0
        for piece in pieces {
            var input = ByteBuffer(bytes: piece)
            let isEnd = decoder.decode(&input, into: &output)
            consumed += piece.count - input.readableBytes
            if isEnd { return Decoded(content: Array(output.readableBytesView), end: consumed, sawBareLineFeed: decoder.sawBareLineFeed) }
        }
        return Decoded(content: Array(output.readableBytesView), end: nil, sawBareLineFeed: decoder.sawBareLineFeed)
    }

    private static func requireSame(_ whole: Decoded, _ cut: Decoded, _ bytes: [UInt8]) throws {
        try require(whole == cut, "cut into pieces, \(shown(bytes)) gives \(shown(cut.content)) ending at \(cut.end ?? -1)")
    }

    /// The message ends at the first CRLF "." CRLF and nowhere else (the command's own CRLF stands before the first line).
    private static func checkEnd(_ decoded: Decoded, _ bytes: [UInt8]) throws {
        let all = [0x0D, 0x0A] + bytes
        let mark = Array("\r\n.\r\n".utf8)
        let found = all.count < 5 ? nil : (0...(all.count - 5)).first { Array(all[$0..<($0 + 5)]) == mark }
        try require(
            decoded.end == found.map { $0 + 3 },
            "\(shown(bytes)) ends at \(decoded.end ?? -1), not at \(found.map { $0 + 3 } ?? -1)"
        )
    }

    /// What leaves us has CRLF line ends only, and, written as the relay writes it, ends where it ended here.
    private static func checkLines(_ decoded: Decoded, _ bytes: [UInt8]) throws {
        var previous: UInt8 = 0
        for byte in decoded.content {
            try require(byte != 0x0A || previous == 0x0D, "a bare line feed in the content of \(shown(bytes))")
            try require(previous != 0x0D || byte == 0x0A, "a bare carriage return in the content of \(shown(bytes))")
            previous = byte
        }
        guard decoded.end != nil else { return }
        for limit in [0, 998] {
            var encoder = ContentEncoder(lineLengthLimit: limit)
            var wire: [UInt8] = []
            for piece in decoded.content.pieces(maximum: 32) { wire += encoder.encode(ByteBuffer(bytes: piece)).readableBytesView }
            wire += Array("\(encoder.terminator)".utf8)
            for lineEnds in [DataDecoder.LineEnds.strict, .lenient] {
                let again = decode([wire[...]], lineEnds, true)
                try require(again.end == wire.count, "on the wire \(shown(wire)) ends at \(again.end ?? -1) of \(wire.count)")
                if limit == 0 {
                    let sent = withoutLeadingNULs(decoded.content)
                    try require(again.content == sent, "\(shown(decoded.content)) arrives as \(shown(again.content))")
                }
            }
            // Nor does it end earlier for a server that drops NULs.
            let seen = wire.filter { $0 != 0 }
            let again = decode([seen[...]], .lenient, true)
            try require(again.end == seen.count, "without NULs, \(shown(wire)) ends at \(again.end ?? -1) of \(seen.count)")
        }
    }

    /// A NUL at the start of a line goes out as a blank.
    private static func withoutLeadingNULs(_ content: [UInt8]) -> [UInt8] {
        var out = content
        for index in out.indices where out[index] == 0 && (index == 0 || out[index - 1] == 0x0A) { out[index] = UInt8(ascii: " ") }
        return out
    }

    static let headers = FuzzTarget(
        "headers",
        words: [
            "From ", "From: ", "Message-Id:", "Resent-", "Received:", "Bcc:", "Date:", "\r\n", "\r\n ", "\r\n\t", ": ", "\0", "\u{E4}",
        ],
        seeds: [
            "From: a\r\nMessage-Id: <x>\r\n\r\nbody\r\n", "From x\r\nBcc: a,\r\n b\r\nTo: c\r\n\r\n", "body\r\n", "Subject : x\r\n y\r\n",
            "Received: x\r\nReceived: y\r\n\r\n",
        ]
    ) { bytes in
        // The filter is fed by the decoder: lines that end in CRLF.
        let lines = decode([(bytes + Array("\r\n.\r\n".utf8))[...]], .strict, true).content
        for (completes, rewrites) in [(true, false), (false, false), (true, true)] {
            let whole = filter([lines[...]], completes, rewrites)
            for maximum in [1, 7, 512] {
                let cut = filter(lines.pieces(maximum: maximum), completes, rewrites)
                try require(whole == cut, "cut into pieces of \(maximum), \(shown(lines)) becomes \(shown(cut)), not \(shown(whole))")
            }
            var previous: UInt8 = 0
            for byte in whole {
                try require(byte != 0x0A || previous == 0x0D, "a bare line feed in \(shown(whole))")
                previous = byte
            }
            try require(whole.count <= lines.count * 2 + 4096, "\(lines.count) bytes become \(whole.count)")
        }
    }

    private static func filter(_ pieces: [ArraySlice<UInt8>], _ completes: Bool, _ rewrites: Bool) -> [UInt8] {
        let completion = HeaderCompletion(
            queueID: QueueID(rawValue: 1),
            host: "mx.example",
            sender: Address(localPart: "a b", domain: "c.example"),
            date: MailTime(epochSeconds: 1_700_000_000),
            undisclosedRecipients: "To: undisclosed-recipients:;"
        )
        let policy = HeaderPolicy(droppedNames: ["bcc", "return-path"], sizeLimit: 200, hopLimit: 3)
        var filter = HeaderFilter(policy: policy, completion: completes ? completion : nil, rewritesAddresses: rewrites)
        var input = ByteBuffer()
        var output = ByteBuffer()
        for piece in pieces {
            input.writeBytes(piece)
            filter.consume(&input, into: &output)
            while let header = filter.waitingHeader {
                filter.resume(with: header.addresses(tokenLimit: 20), into: &output)
                filter.consume(&input, into: &output)
            }
        }
        filter.finish(into: &output)
        while let header = filter.waitingHeader {
            filter.resume(with: header.addresses(tokenLimit: 20), into: &output)
            filter.finish(into: &output)
        }
        _ = (filter.exceedsHopLimit, filter.messageIDs)
        return Array(output.readableBytesView)
    }

    static let addressList = FuzzTarget(
        "address-list",
        words: ["<", ">", "@", ",", ";", ":", "\"", "\\", "(", ")", "[", "]", ".", " ", "\r\n ", "a", "b.c", "\u{E4}", "\u{1}"],
        seeds: [
            "Alice B <alice>, b@c (d)", "group: a, b;, c", "<@r,@t:a@b>", "\"q \\\" q\"@c.d (x (y)), z@[1.2.3.4]", "a b c", "x <>, , y;",
            "a\r\n (x\r\n y) <b>",
        ]
    ) { bytes in
        guard let list = AddressList.parse(bytes, tokenLimit: 200) else { return }
        let field = list.folded(name: "To".utf8)
        try require(field.count <= bytes.count * 3 + 16, "\(bytes.count) bytes become \(field.count)")
        // No line of the field may be taken for another header, or for the end of the headers.
        for line in String(decoding: field, as: UTF8.self).unicodeScalars.split(separator: "\n").dropFirst() {
            try require(line.first == "\t", "\(shown(bytes)) becomes \(shown(field))")
        }
        // What we have written means the same.
        let again = AddressList.parse(field.dropFirst(3), tokenLimit: 1000)?.mailboxes.map(\.address)
        try require(again == list.mailboxes.map(\.address), "\(shown(bytes)) becomes \(shown(field)), which reads as \(again ?? [])")
    }
}
