import NIOCore
import SMTPCore
import Settings
import Tables
import Testing

@testable import Relay

/// The pure parts: dot-stuffing, next hops, EHLO, delays, configuration.
@Suite struct ValueTests {
    static let contents: [(content: String, limit: Int, wire: String)] = [
        ("", 998, ".\r\n"),
        ("a\r\n", 998, "a\r\n.\r\n"),
        ("a", 998, "a\r\n.\r\n"),
        ("a\r", 998, "a\r\n.\r\n"),
        (".", 998, "..\r\n.\r\n"),
        (".\r\n", 998, "..\r\n.\r\n"),
        ("..\r\n.x\r\na.b\r\n\r\n.\r\n", 998, "...\r\n..x\r\na.b\r\n\r\n..\r\n.\r\n"),
        // A bare LF never reaches the relay; if it did, a dot behind it must not end the message at a lax server.
        ("a\n.\r\nb\r\n", 998, "a\n..\r\nb\r\n.\r\n"),
        ("12345678\r\n", 8, "12345678\r\n.\r\n"),
        ("0123456789abcdefghij\r\nk\r\n", 8, "01234567\r\n 89abcde\r\n fghij\r\nk\r\n.\r\n"),
        ("0123456789\r\n", 0, "0123456789\r\n.\r\n"),
        // A server that drops NULs must not find a lone dot; one that keeps them gets a blank.
        ("\0.\r\n\0\0.\r\n", 998, " .\r\n \0.\r\n.\r\n"),
        ("\0\r\na\0\r\n.\0\r\n", 998, " \r\na\0\r\n..\0\r\n.\r\n"),
    ]

    @Test(arguments: contents) func encoding(_ example: (content: String, limit: Int, wire: String)) {
        let bytes = Array(example.content.utf8)
        #expect(encode([bytes], example.limit) == example.wire)
        // Cut anywhere, the receiver gets the same message.
        for cut in bytes.indices {
            let wire = encode([Array(bytes[..<cut]), Array(bytes[cut...])], example.limit)
            #expect(wire.replacing("\r\n ", with: "") == example.wire.replacing("\r\n ", with: ""), "cut at \(cut)")
        }
    }

    @Test func untouchedBlocksAreNotCopied() {
        var encoder = ContentEncoder(lineLengthLimit: 998)
        let block = ByteBuffer(string: "no dots at line starts\r\nnone.\r\n")
        #expect(encoder.encode(block) == block)
    }

    /// For a server that drops the eighth bit; any other takes the dot off again.
    @Test func aDotOfEightBits() {
        var encoder = ContentEncoder(lineLengthLimit: 998)
        let wire = encoder.encode(ByteBuffer(bytes: [0xAE, 13, 10, 0x61, 0xAE, 13, 10]))
        #expect(Array(wire.readableBytesView) == [0x2E, 0xAE, 13, 10, 0x61, 0xAE, 13, 10])
    }

    /// Whatever the bytes, what a server un-stuffs is what was sent.
    @Test func roundTrip() {
        for _ in 0..<2000 {
            var content: [UInt8] = []
            for _ in 0..<Int.random(in: 0...6) {
                for _ in 0..<Int.random(in: 0...4) { content.append(Bool.random() ? UInt8(ascii: ".") : UInt8(ascii: "a")) }
                content += [13, 10]
            }
            let cut = Int.random(in: 0...content.count)
            let wire = Array(encode([Array(content[..<cut]), Array(content[cut...])], 998).utf8)
            var received: [UInt8] = []
            for line in wire.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
                if line == [UInt8(ascii: "."), 13][...] { break }
                received += (line.first == UInt8(ascii: ".") ? line.dropFirst() : line) + [10]
            }
            #expect(received == content)
        }
    }

    private func encode(_ blocks: [[UInt8]], _ limit: Int) -> String {
        var encoder = ContentEncoder(lineLengthLimit: limit)
        var out = blocks.map { String(buffer: encoder.encode(ByteBuffer(bytes: $0))) }.joined()
        out += "\(encoder.terminator)"
        return out
    }

    static let nextHops: [(text: String, dialect: ClientSettings.Dialect, target: NextHop.Target?, port: Int)] = [
        ("example.com", .smtp, .domain("example.com"), 25),
        ("example.com:587", .smtp, .domain("example.com"), 587),
        ("example.com:submission", .smtp, .domain("example.com"), 587),
        ("[mail.example.com]", .smtp, .host("mail.example.com"), 25),
        ("[mail.example.com]:465", .smtp, .host("mail.example.com"), 465),
        ("[2001:db8::1]:26", .smtp, .host("2001:db8::1"), 26),
        ("[ipv6:2001:db8::1]", .smtp, .host("2001:db8::1"), 25),
        ("inet:localhost:2424", .lmtp, .host("localhost"), 2424),
        ("localhost", .lmtp, .host("localhost"), 24),
        ("unix:private/dovecot-lmtp", .lmtp, .unix("private/dovecot-lmtp"), 0),
        ("", .smtp, nil, 0), ("[x", .smtp, nil, 0), ("[]", .smtp, nil, 0), ("x:", .smtp, nil, 0), ("x:99999", .smtp, nil, 0),
        ("x:nosuch", .smtp, nil, 0),
        ("[x]y", .smtp, nil, 0), ("unix:", .lmtp, nil, 0), ("a b", .smtp, nil, 0), ("x:0", .smtp, nil, 0),
    ]

    @Test(arguments: nextHops) func nextHop(_ example: (text: String, dialect: ClientSettings.Dialect, target: NextHop.Target?, port: Int))
    {
        let nextHop = NextHop(example.text, dialect: example.dialect, defaultPort: example.dialect == .lmtp ? 24 : 25)
        #expect(nextHop?.target == example.target)
        if example.target != nil { #expect(nextHop?.port == example.port) }
    }

    @Test func capabilities() {
        let text =
            "250-mail.example hello\n250-PIPELINING\n250-size 1000\n250-AUTH PLAIN LOGIN\n250-AUTH=LOGIN CRAM-MD5\n250-STARTTLS\n250 8BITMIME"
        let reply = ServerReply(code: 250, text: text)
        let all = ServerCapabilities(reply)
        #expect(all.serverName == "mail.example" && all.pipelining && all.size && all.sizeLimit == 1000 && all.startTLS && all.eightBitMIME)
        #expect(all.authMechanisms == ["PLAIN", "LOGIN", "CRAM-MD5"])
        let some = ServerCapabilities(reply, discarding: ["pipelining", "auth"])
        #expect(!some.pipelining && some.authMechanisms.isEmpty && some.size)
        #expect(ServerCapabilities(ServerReply(code: 250, text: "250-x\n250-SIZE -5\n250 SIZE 99999999999999999999")).sizeLimit == 0)
        // RFC 6531 section 3.1.
        #expect(ServerCapabilities(ServerReply(code: 250, text: "250-x\n250 SMTPUTF8")).eightBitMIME)
    }

    @Test func mechanismsWithoutEndAreNotAllKept() {
        let words = (0..<10_000).map { "M\($0)" }
        let lines = stride(from: 0, to: words.count, by: 200).map { "250-AUTH " + words[$0..<$0 + 200].joined(separator: " ") }
        let capabilities = ServerCapabilities(
            ServerReply(code: 250, text: "250-mail.example\n" + lines.joined(separator: "\n") + "\n250 SIZE")
        )
        #expect(capabilities.authMechanisms.count == 64 && capabilities.size)
    }

    /// As Postfix prints them, from the reference instance's log where it had the value.
    @Test(arguments: [
        (0.0, "0"), (0.004, "0"), (0.04, "0.04"), (0.1, "0.1"), (0.12, "0.12"), (0.999, "1"), (1.04, "1"), (1.1, "1.1"), (3.14, "3.1"),
        (9.96, "10"),
        (12.4, "12"), (3600, "3600"), (-5, "0"), (1e300, "1000000000000"),
    ]) func delays(_ example: (seconds: Double, text: String)) {
        var text = ""
        DeliveryLog.append(example.seconds, to: &text)
        #expect(text == example.text)
    }

    static let broken: [(parameters: [String: String], part: String)] = [
        (["smtp_tls_wrappermode": "yes"], "smtp_tls_wrappermode: needs"),
        (["smtp_sasl_auth_enable": "yes"], "smtp_sasl_auth_enable: needs smtp_sasl_password_maps"),
        (["smtp_bind_address": "nonsense"], "smtp_bind_address"), (["smtp_tcp_port": "nosuch"], "smtp_tcp_port: unknown service"),
        (["smtp_tls_security_level": "may", "smtp_tls_CAfile": "/nonexistent/ca.pem"], "/nonexistent/ca.pem"),
        (["smtp_enforce_tls": "yes"], "smtp_enforce_tls"),
    ]

    @Test(arguments: broken) func problems(_ example: (parameters: [String: String], part: String)) {
        let main = ServiceSettings.testing(example.parameters)
        let error = #expect(throws: ConfigurationError.self) {
            try RelayConfiguration(
                main: main,
                transports: [TransportService(name: "smtp", command: "smtp", settings: main, main: main)],
                tables: TableRegistry(),
                ownAddresses: []
            )
        }
        #expect(error?.description.contains(example.part) == true, "\(String(describing: error))")
    }

    @Test func transportLimits() {
        let main = ServiceSettings.testing(["relay_destination_concurrency_limit": "7", "default_destination_recipient_limit": "9"])
        let relay = TransportService(name: "relay", command: "smtp", settings: main, main: main)
        #expect(relay.concurrencyLimit == 7 && relay.recipientLimit == 9 && relay.initialConcurrency == 5)
    }
}
