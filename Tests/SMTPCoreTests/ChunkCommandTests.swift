import SMTPCore
import Testing

/// Compared with Postfix 3.7.11.
@Suite struct ChunkCommandTests {
    @Test(arguments: [
        ("BDAT 0", 0, false), ("BDAT 01 last", 1, true), ("bdat 86 LaSt", 86, true), ("BDAT 9223372036854775807", Int.max, false),
        ("  BDAT\t5   LAST  ", 5, true),
    ])
    func sound(_ line: String, _ size: Int, _ isLast: Bool) throws {
        let chunk = try #require(ChunkCommand(CommandLine(line)))
        #expect(chunk.size == size)
        #expect(chunk.isLast == isLast)
    }

    @Test(arguments: [
        "BDAT", "BDAT x", "BDAT 1 LAS", "BDAT 1 LAST x", "BDAT -1", "BDAT +1", "BDAT 0x1", "BDAT 1.", "BDAT 9223372036854775808",
        "BDAT 99999999999999999999999", "BDAT LAST", "BDAT \"\"", "BDAT <1>", "BDAT \u{661}", "BDAT 1\u{0}", "BDAT 1 <LAST>",
    ])
    func malformed(_ line: String) { #expect(ChunkCommand(CommandLine(line)) == nil) }
}
