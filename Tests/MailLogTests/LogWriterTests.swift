import Foundation
import MailLog
import Testing

@Suite struct LogWriterTests {
    private func written(_ body: (LogWriter) -> Void) throws -> [String] {
        let path = FileManager.default.temporaryDirectory.appending(path: "maillog-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let writer = try LogWriter(.file(path), hostName: "mx.example.com")
        body(writer)
        writer.flush()
        return try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    }

    @Test func linesHaveTheShapeLogAnalysersRead() throws {
        let lines = try written { writer in
            let log = MailLog(sink: writer, tag: "postfix/submission/smtpd", processID: 4711)
            log.info("connect from unknown[127.0.0.1]")
            log.warning("hostname x does not resolve to address 192.0.2.1")
        }
        let shape = /[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d mx postfix\/submission\/smtpd\[4711\]: (.*)/
        #expect(
            try lines.map { try #require($0.wholeMatch(of: shape)).1 } == [
                "connect from unknown[127.0.0.1]", "warning: hostname x does not resolve to address 192.0.2.1",
            ]
        )
    }

    @Test func aPeerCannotForgeALine() throws {
        let lines = try written { MailLog(sink: $0, tag: "postfix/smtpd", processID: 1).info("helo=<x\r\nNov 21 forged>\u{1B}") }
        #expect(lines.count == 1)
        #expect(lines[0].hasSuffix("helo=<x??Nov 21 forged>?"))
    }

    /// C1 controls drive terminals as ESC does; separators end lines for some programs; bidirectional controls reorder what is seen.
    @Test func whatDisturbsTheReaderIsReplaced() throws {
        let lines = try written {
            MailLog(sink: $0, tag: "t", processID: 1).info("gr\u{FC}n \u{9B}31m \u{85}\u{2028}\u{2029} \u{202E}\u{2066}\u{200F} \u{1F600}")
        }
        #expect(lines.count == 1)
        #expect(lines[0].hasSuffix("gr\u{FC}n ?31m ??? ??? \u{1F600}"))
    }

    @Test func anOverlongTextIsCutBetweenCharacters() throws {
        let lines = try written { MailLog(sink: $0, tag: "t", processID: 1).info("x" + String(repeating: "\u{FC}", count: 1 << 16)) }
        #expect(lines[0].utf8.count < 2100)
        #expect(lines[0].hasSuffix("\u{FC}"))
    }

    @Test func anOverlongTextIsCut() throws {
        let lines = try written { MailLog(sink: $0, tag: "t", processID: 1).info(String(repeating: "x", count: 1 << 20)) }
        #expect(lines[0].utf8.count < 2100)
    }

    @Test func everyLineOfManyThreadsArrivesWhole() async throws {
        let lines = try written { writer in
            DispatchQueue.concurrentPerform(iterations: 8) { thread in
                for index in 0..<500 { MailLog(sink: writer, tag: "t", processID: thread).info("line \(index)") }
            }
        }
        #expect(lines.count == 4000)
        for thread in 0..<8 {
            let own = lines.filter { $0.contains("t[\(thread)]:") }
            #expect(own.enumerated().allSatisfy { $1.hasSuffix("line \($0)") })
        }
    }

    /// As a syslog daemon that was stopped, or a terminal under Ctrl-S.
    @Test(.timeLimit(.minutes(1))) func aDestinationThatTakesNothingHoldsNobody() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "pipe-\(UUID().uuidString)").path
        let made = unsafe mkfifo(path, 0o600)
        try #require(made == 0)
        defer { unsafe unlink(path) }
        let reader = unsafe open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let writer = try LogWriter(.file(path), hostName: "mx")
        let log = MailLog(sink: writer, tag: "t", processID: 1)
        for number in 0..<100 { log.info("\(number) \(String(repeating: "x", count: 1500))") }
        writer.flush()
        writer.adopt(unsafe open("/dev/null", O_WRONLY))
        log.info("last")
        // What was stuck goes on when there is room again.
        var text: [UInt8] = []
        while text.count < 100 * 1500 {
            var part = [UInt8](repeating: 0, count: 65536)
            let count = unsafe read(reader, &part, part.count)
            if count > 0 { text += part[..<count] } else { try await Task.sleep(for: .milliseconds(5)) }
        }
        writer.flush()
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        #expect(lines.prefix(100).enumerated().allSatisfy { $1.contains(" t[1]: \($0) xxx") })
    }

    @Test func aMissingDirectoryIsAClearError() {
        #expect(throws: LogOpenError.self) { try LogWriter(.file("/nonexistent/maillog"), hostName: "h") }
    }
}
