import Testing

@testable import Authentication

@Suite("Dovecot auth protocol")
struct ProtocolTests {
    static let escapes: [(clear: String, line: String)] = [
        ("plain", "plain"), ("", ""), ("a\tb", "a\u{1}tb"), ("a\nb", "a\u{1}nb"), ("a\rb", "a\u{1}rb"), ("a\u{0}b", "a\u{1}0b"),
        ("a\u{1}b", "a\u{1}1b"), ("\u{1}\t", "\u{1}1\u{1}t"), ("é=\t", "é=\u{1}t"),
    ]

    @Test(arguments: escapes)
    func escaping(clear: String, line: String) {
        #expect(AuthProtocol.escape(clear) == line)
        #expect(AuthProtocol.unescape(Array(line.utf8)) == clear)
    }

    @Test(arguments: [("a\u{1}lb", "a\nb"), ("a\u{1}xb", "axb"), ("a\u{1}", "a")])
    func unescapesWhatOthersWrite(line: String, clear: String) {
        #expect(AuthProtocol.unescape(Array(line.utf8)) == clear)
    }

    static let serverLines: [(String, AuthServerMessage)] = [
        ("VERSION\t1\t2", .version(major: 1, minor: 2)),
        ("MECH\tPLAIN\tplaintext", .mechanism(AuthMechanism(name: "PLAIN", flags: .plaintext))),
        ("MECH\tANONYMOUS\tanonymous", .mechanism(AuthMechanism(name: "ANONYMOUS", flags: .anonymous))),
        ("MECH\tCRAM-MD5\tdictionary\tactive", .mechanism(AuthMechanism(name: "CRAM-MD5", flags: [.dictionary, .active]))),
        (
            "MECH\tX\tforward-secrecy\tmutual-auth\tprivate",
            .mechanism(AuthMechanism(name: "X", flags: [.forwardSecrecy, .mutualAuth, .private]))
        ),
        ("SPID\t42", .processID(42)), ("CUID\t7", .connectionID(7)), ("COOKIE\tabc", .cookie("abc")), ("DONE", .done),
        ("OK\t1\tuser=al\u{1}tice\tx-log=a=b", .ok(id: 1, AuthParameters([("user", "al\tice"), ("x-log", "a=b")]))),
        ("CONT\t2\tVXNlcm5hbWU6", .challenge(id: 2, data: "VXNlcm5hbWU6", AuthParameters())),
        ("CONT\t2\t", .challenge(id: 2, data: "", AuthParameters())),
        ("FAIL\t4294967295\tuser=u\ttemp", .fail(id: .max, AuthParameters([("user", "u"), ("temp", nil)]))),
        ("NEWS\tx", .unknown("NEWS")),
    ]

    @Test(arguments: serverLines)
    func serverLine(line: String, message: AuthServerMessage) {
        #expect(AuthServerMessage(line: Array(line.utf8)) == message)
        if case .unknown = message { return }
        #expect(AuthServerMessage(line: Array(message.line.dropLast().utf8)) == message)
        #expect(message.line.hasSuffix("\n"))
    }

    @Test(arguments: ["OK", "OK\tx", "OK\t-1", "OK\t4294967296", "CONT\t", "FAIL\t1x", "VERSION\t1", "VERSION\tone\t2", "MECH", "MECH\t"])
    func brokenServerLine(line: String) {
        #expect(AuthServerMessage(line: Array(line.utf8)) == nil)
    }

    @Test func unknownFlagsOfAMechanismAreIgnored() {
        #expect(AuthServerMessage(line: Array("MECH\tFOO\tshiny".utf8)) == .mechanism(AuthMechanism(name: "FOO", flags: [])))
    }

    @Test func clientLines() throws {
        let auth = AuthClientMessage.auth(
            id: 3,
            mechanism: "PLAIN",
            AuthParameters([("service", "smtp"), ("secured", nil), ("x-realm", "a\tb")]),
            response: SecretBytes("AGE=")
        )
        #expect(String(decoding: auth.line, as: UTF8.self) == "AUTH\t3\tPLAIN\tservice=smtp\tsecured\tx-realm=a\u{1}tb\tresp=AGE=\n")
        guard case .auth(let id, let mechanism, let parameters, let response) = AuthClientMessage(line: auth.line.dropLast()) else {
            Issue.record("not parsed")
            return
        }
        #expect(id == 3 && mechanism == "PLAIN" && parameters["service"] == "smtp" && parameters.contains("secured"))
        #expect(parameters["x-realm"] == "a\tb" && response?.bytes == Array("AGE=".utf8))
        #expect(!parameters.contains("resp"))

        guard case .auth(_, _, _, let none) = AuthClientMessage(line: Array("AUTH\t3\tLOGIN\tservice=smtp".utf8)) else {
            Issue.record("not parsed")
            return
        }
        #expect(none == nil)
        guard case .auth(_, _, _, let empty) = AuthClientMessage(line: Array("AUTH\t3\tLOGIN\tservice=smtp\tresp=".utf8)) else {
            Issue.record("not parsed")
            return
        }
        #expect(empty?.bytes == [])

        guard case .response(9, let data) = AuthClientMessage(line: Array("CONT\t9\tYQ==".utf8)) else {
            Issue.record("not parsed")
            return
        }
        #expect(data.bytes == Array("YQ==".utf8))
        guard case .cancel(9) = AuthClientMessage(line: Array("CANCEL\t9".utf8)) else {
            Issue.record("not parsed")
            return
        }
    }

    @Test(arguments: ["AUTH", "AUTH\t1", "AUTH\tx\tPLAIN", "CONT", "CONT\tx", "CANCEL", "VERSION\t1"])
    func brokenClientLine(line: String) {
        #expect(AuthClientMessage(line: Array(line.utf8)) == nil)
    }

    @Test func secretsAreNotPrinted() {
        let message = AuthClientMessage.response(id: 1, data: SecretBytes("aHVudGVyMg=="))
        #expect(!String(describing: message).contains("aHVudGVyMg"))
        #expect(!String(reflecting: message).contains("aHVudGVyMg"))
    }

    @Test func aSecretOwnsItsBytes() {
        let source = Array("secret".utf8)
        var secret: SecretBytes? = SecretBytes(source)
        #expect(secret?.bytes == source)
        secret = nil
        // Wiping the secret must not reach the array it was made from.
        #expect(source == Array("secret".utf8))
    }

    @Test func linesAreCutWhereverTheStreamBreaks() throws {
        let stream = Array("one\n\ntwo\tx\nthree".utf8)
        for size in 1...stream.count {
            var buffer = AuthLineBuffer()
            var lines: [String] = []
            var start = 0
            while start < stream.count {
                let end = min(start + size, stream.count)
                buffer.append(stream[start..<end])
                while let line = try buffer.next() { lines.append(String(decoding: line, as: UTF8.self)) }
                start = end
            }
            #expect(lines == ["one", "", "two\tx"])
        }
    }

    @Test func tooLongALineEndsTheStream() throws {
        var buffer = AuthLineBuffer(limit: 10)
        buffer.append(Array("0123456789\n".utf8))
        #expect(try buffer.next()?.count == 10)
        buffer.append(Array("0123456789x".utf8))
        #expect(throws: AuthLineBuffer.LineTooLong.self) { _ = try buffer.next() }
    }
}
