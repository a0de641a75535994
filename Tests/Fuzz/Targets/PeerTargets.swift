import SMTPCore

@testable import Submission

extension FuzzTarget {
    /// Counters from another generation of the server; the bytes cross a pipe.
    static let snapshot = FuzzTarget(
        "snapshot",
        words: ["smtp", "submission", "\u{0}\u{0}\u{0}\u{1}", "\u{4}", "\u{10}", "\u{7F}\u{0}\u{0}\u{1}", " "],
        seeds: [
            "\u{1}\u{0}\u{1}\u{4}smtp\u{0}\u{0}\u{0}\u{1}\u{0}\u{0}\u{4}\u{7F}\u{0}\u{0}\u{1} \u{0}\u{0}\u{0}\u{2}\u{0}\u{0}\u{0}\u{9}"
                + String(repeating: "\u{0}\u{0}\u{0}\u{3}", count: 5),
            "\u{1}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}",
        ]
    ) { bytes in
        let limits = ClientLimits(capacity: 8)
        let client = IPNetwork(.v4(0x7F00_0001), prefixLength: 32)!
        guard limits.merge(snapshot: bytes) else { return }
        try require(limits.clientCount <= 8, "\(limits.clientCount) clients where 8 fit")
        _ = limits.connect(service: "smtp", client: client)
        _ = limits.count(.message, service: "smtp", client: client)
        try require(ClientLimits(capacity: 8).merge(snapshot: limits.snapshot()), "our own snapshot is not understood")
        limits.disconnect(service: "smtp", client: client)
        limits.forget(source: 0)
        if let snapshot = ClientSnapshot(bytes) {
            try require(ClientSnapshot(ClientSnapshot(clients: snapshot.clients, maximumSize: 4096).bytes) != nil, "cannot be read again")
        }
    }

    /// A header of the PROXY protocol, as it comes in pieces.
    static let proxy = FuzzTarget(
        "proxy",
        words: ["PROXY ", "TCP4 ", "TCP6 ", "192.0.2.1 ", "2001:db8::1 ", "25", " 65535", "\r\n\r\n\u{0}\r\nQUIT\n", "!\u{11}\u{0}\u{C}"],
        seeds: [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1234 25\r\nEHLO x\r\n", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n",
            "\r\n\r\n\u{0}\r\nQUIT\n!\u{11}\u{0}\u{C}\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{0}\u{1}\u{0}\u{19}",
            "\r\n\r\n\u{0}\r\nQUIT\n \u{0}\u{0}\u{0}",
        ]
    ) { bytes in
        let whole = ProxyHeader.parse(bytes)
        if case .complete(let header, let length) = whole {
            try require(length > 0 && length <= bytes.count, "a header of \(length) in \(bytes.count) bytes")
            // What follows the header has no say in it, and one byte less is not enough.
            try require(ProxyHeader.parse(bytes.prefix(length)) == whole, "\(shown(bytes)) reads differently alone")
            try require(ProxyHeader.parse(bytes.prefix(length - 1)) == .incomplete, "\(shown(bytes)) is complete too early")
            if case .proxied(_, let clientPort, _, let serverPort) = header {
                try require((0...65535).contains(clientPort) && (0...65535).contains(serverPort), "a port that is none")
            }
        }
        if case .incomplete = whole { try require(bytes.count < 16 + 4096, "never enough") }
    }

    /// The attributes of XCLIENT and XFORWARD.
    static let xclient = FuzzTarget(
        "xclient",
        words: [
            "NAME=", "ADDR=", "PORT=", "HELO=", "LOGIN=", "PROTO=", "REVERSE_NAME=", "DESTADDR=", "SOURCE=", "IDENT=", "[UNAVAILABLE]",
            "[TEMPUNAVAIL]", "+20", "+0D+0A", "IPV6:", " ",
        ],
        seeds: [
            "XCLIENT NAME=a.b ADDR=192.0.2.1 PORT=1", "XCLIENT ADDR=IPV6:::1 LOGIN=a+20b HELO=x PROTO=ESMTP",
            "XFORWARD NAME=[UNAVAILABLE] SOURCE=LOCAL IDENT=1+3D2",
        ]
    ) { bytes in
        let line = CommandLine(bytes)
        let words = line.tokens.indices.dropFirst().map { line[$0] }
        for verb in [ClientAttributes.Verb.xclient, .xforward] {
            switch ClientAttributes.parse(verb, words) {
            case .refused(let reply):
                try require(reply.code >= 400 && reply.wire.utf8.dropLast(2).allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "odd reply \(reply)")
            case .complete(let attributes):
                for text in [
                    attributes.name, attributes.reverseName, attributes.helo, attributes.login, attributes.ident, attributes.protocolName,
                ] {
                    let value = text?.value ?? ""
                    try require(value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "control character in \(shown(value.utf8))")
                }
            }
        }
    }
}
