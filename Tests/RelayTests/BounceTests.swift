import Foundation
import NIOCore
import SMTPCore
import Spool
import Testing

@testable import Relay

/// Bounces: who gets one, what it says, and that nothing is lost when it cannot be written.
@Suite struct BounceTests {
    static let route = ["x.example": "error:5.1.1 no such thing", "later.example": "retry:4.0.0 later"]

    @Test func toTheSender() async throws {
        let bench = try RelayBench(routes: Self.route)
        let content = TestContent(bytes: ByteBuffer(string: "Subject: lost\r\n\r\nbody\r\n"))
        let job = bench.job(from: "s@y.example", to: ["u@x.example", "v@later.example"], content)
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.bounced("no such thing"), .deferred("later")])
        let bounce = try #require(report.bounce)
        #expect(bounce.envelope.sender == .null)
        #expect(bounce.envelope.recipients.map(\.address.description) == ["s@y.example"])
        let text = String(buffer: bounce.content)
        for part in [
            "From: Mail Delivery System <MAILER-DAEMON@mail.example.com>\r\n", "To: s@y.example\r\n", "Auto-Submitted: auto-replied\r\n",
            "Subject: Undelivered Mail Returned to Sender\r\n", "<u@x.example>: no such thing\r\n",
            "Reporting-MTA: dns; mail.example.com\r\nX-Postfix-Queue-ID: \(job.id)\r\nX-Postfix-Sender: rfc822; s@y.example\r\nArrival-Date: ",
            "\r\n\r\nFinal-Recipient: rfc822; u@x.example\r\nOriginal-Recipient: rfc822;u@x.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
                + "Diagnostic-Code: X-Postfix; no such thing\r\n",
            "Return-Path: <s@y.example>\r\nSubject: lost\r\n\r\nbody\r\n",
        ] { #expect(text.contains(part), "\(part)") }
        #expect(!text.contains("later.example"))
        #expect(bench.log.lines.contains("postfix/bounce: \(job.id): sender non-delivery notification: \(bounce.id)"))
        #expect(bench.log.line("postfix/cleanup: \(bounce.id): message-id=<") != nil)
        try await bench.end()
    }

    /// Python's parser, which nobody here wrote, takes it apart.
    @Test func isWellFormed() async throws {
        let bench = try RelayBench(routes: Self.route)
        let long = "Subject: x\r\n\r\n--0000\r\nbj\u{F6}rk\r\n" + String(repeating: "y", count: 900) + "\r\nno line end"
        let report = try await bench.deliver(
            bench.job(from: "\"odd one\"@y.example", to: ["u@x.example"], TestContent(bytes: ByteBuffer(string: long)))
        )
        let bounce = try #require(report.bounce)
        #expect(bounce.envelope.body == .eightBitMIME)
        let script = """
            import sys, email, email.policy
            m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
            assert m.get_content_type() == 'multipart/report' and m.get_param('report-type') == 'delivery-status', m['content-type']
            parts = list(m.iter_parts())
            assert [p.get_content_type() for p in parts] == ['text/plain', 'message/delivery-status', 'message/rfc822'], parts
            status = parts[1].get_payload()
            assert status[0]['Reporting-MTA'] == 'dns; mail.example.com' and status[1]['Action'] == 'failed' and status[1]['Status'] == '5.1.1'
            inner = parts[2].get_payload()[0]
            assert inner['Subject'] == 'x'
            defects = [d for p in m.walk() for d in p.defects]
            assert not defects, defects
            assert max(len(l) for l in m.as_bytes().split(b'\\n')) < 1000
            print('fine')
            """
        #expect(try Self.python(script, input: Data(bounce.content.readableBytesView)) == "fine\n")
        try await bench.end()
    }

    @Test func neverABounceOfABounce() async throws {
        let bench = try RelayBench(routes: Self.route)
        let report = try await bench.deliver(bench.job(from: "", to: ["u@x.example"]))
        #expect(report.outcomes == [.bounced("no such thing")])
        #expect(report.bounce == nil)
        let notice = bench.job(from: "double-bounce@mail.example.com", to: ["u@x.example"])
        #expect(try await bench.deliver(notice).bounce == nil)
        #expect(bench.log.lines.contains("postfix/bounce: warning: \(notice.id): undeliverable postmaster notification discarded"))
        try await bench.end()
    }

    @Test func postmasterHearsOfDoubleBouncesIfAsked() async throws {
        let bench = try RelayBench(["notify_classes": "2bounce", "2bounce_notice_recipient": "boss@y.example"], routes: Self.route)
        let bounce = try #require(try await bench.deliver(bench.job(from: "", to: ["u@x.example"])).bounce)
        #expect(bounce.envelope.sender.description == "double-bounce@mail.example.com")
        #expect(bounce.envelope.recipients.map(\.address.description) == ["boss@y.example"])
        #expect(bench.log.line("postmaster non-delivery notification: \(bounce.id)") != nil)
        try await bench.end()
    }

    /// Compared with Postfix: the sender's bounce, and a copy with the header only, from the sender of notices; `bounce` implies `2bounce`.
    @Test(arguments: [false, true]) func postmasterHasACopyOfEachBounce(onDisk: Bool) async throws {
        let bench = try RelayBench(
            ["notify_classes": "bounce", "bounce_notice_recipient": "boss@y.example", "2bounce_notice_recipient": "other@y.example"],
            routes: Self.route
        )
        let content = TestContent(bytes: ByteBuffer(string: "Subject: lost\r\nX-A: b\r\n\r\nbody\r\n"), isOnDisk: onDisk)
        let report = try await bench.deliver(bench.job(from: "s@y.example", to: ["u@x.example", "w@x.example"], content))
        try #require(report.bounces.count == 2)
        let (bounce, copy) = (report.bounces[0], report.bounces[1])
        #expect(bounce.envelope.sender == .null)
        #expect(String(buffer: bounce.content).contains("\r\nbody\r\n"))
        #expect(copy.envelope.sender.description == "double-bounce@mail.example.com")
        #expect(copy.envelope.recipients.map(\.address.description) == ["boss@y.example"])
        let text = String(buffer: copy.content)
        for part in [
            "Subject: Postmaster Copy: Undelivered Mail\r\nTo: boss@y.example\r\nAuto-Submitted: auto-generated\r\n",
            "<u@x.example>: no such thing\r\n\r\n<w@x.example>: no such thing\r\n\r\n--",
            "Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n",
            "Return-Path: <s@y.example>\r\nSubject: lost\r\nX-A: b\r\n\r\n--",
        ] { #expect(text.contains(part), "\(part) in \(text)") }
        #expect(!text.contains("body"))
        #expect(bench.log.line("postmaster non-delivery notification: \(copy.id)") != nil)
        let double = try #require(try await bench.deliver(bench.job(from: "", to: ["u@x.example"], content)).bounce)
        #expect(double.envelope.recipients.map(\.address.description) == ["other@y.example"])
        #expect(String(buffer: double.content).contains("\r\nbody\r\n"))
        try await bench.end()
    }

    @Test func expiredMessagesAreReturned() async throws {
        let bench = try RelayBench(routes: Self.route)
        let job = bench.job(to: ["v@later.example"], age: 500_000, isExpired: true)
        let report = try await bench.deliver(job)
        #expect(report.outcomes == [.bounced("later")])
        #expect(report.bounce != nil)
        #expect(bench.log.lines.contains("postfix/qmgr: \(job.id): from=<s@y.example>, status=expired, returned to sender"))
        #expect(bench.log.line("to=<v@later.example>")?.contains("status=deferred (later)") == true)
        #expect(String(buffer: try #require(report.bounce).content).contains("Status: 4.0.0\r\n"))
        try await bench.end()
    }

    @Test(arguments: [false, true]) func longMessagesReturnTheirHeaderOnly(onDisk: Bool) async throws {
        let bench = try RelayBench(["bounce_size_limit": "1000"], routes: Self.route)
        let text = "Subject: big\r\nX-A: b\r\n\r\n" + String(repeating: "line\r\n", count: 1000)
        let job = bench.job(to: ["u@x.example"], TestContent(bytes: ByteBuffer(string: text), isOnDisk: onDisk))
        let bounce = String(buffer: try #require(try await bench.deliver(job).bounce).content)
        #expect(bounce.contains("Content-Description: Undelivered Message Headers\r\nContent-Type: text/rfc822-headers\r\n"))
        #expect(bounce.contains("Return-Path: <s@y.example>\r\nSubject: big\r\nX-A: b\r\n\r\n--"))
        #expect(!bounce.contains("line\r\n"))
        try await bench.end()
    }

    /// No id, or unreadable content: the recipients are deferred, not given up in silence.
    @Test(arguments: [true, false]) func aBounceThatCannotBeWritten(noID: Bool) async throws {
        let bench = try RelayBench(routes: Self.route, ledger: TestLedger(givesNoIDs: noID))
        let content = TestContent(bytes: ByteBuffer(string: "Subject: x\r\n\r\n"), isOnDisk: true, failsAt: noID ? nil : 0)
        let report = try await bench.deliver(bench.job(to: ["u@x.example"], content))
        #expect(report.outcomes == [.deferred("no such thing")])
        #expect(report.bounce == nil)
        try await bench.end()
    }

    @Test(arguments: [
        (1_795_229_362.0, "Sat, 21 Nov 2026 02:49:22 +0000 (UTC)", "20261121024922"),
        (0, "Thu, 1 Jan 1970 00:00:00 +0000 (UTC)", "19700101000000"),
        (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000 (UTC)", "20000229000000"),
        (-1e300, "Thu, 1 Jan 1970 00:00:00 +0000 (UTC)", "19700101000000"),
        (1e300, "Fri, 31 Dec 9999 23:59:59 +0000 (UTC)", "99991231235959"),
    ]) func dates(_ example: (seconds: Double, header: String, compact: String)) {
        #expect(MailDate.header(example.seconds) == example.header)
        #expect(MailDate.compact(example.seconds) == example.compact)
    }

    static func python(_ script: String, input: Data) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/python3")
        process.arguments = ["-c", script]
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        try process.run()
        stdin.fileHandleForWriting.write(input)
        try stdin.fileHandleForWriting.close()
        let output = stdout.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: output, as: UTF8.self)
    }
}
