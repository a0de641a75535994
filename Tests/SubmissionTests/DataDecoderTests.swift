import NIOCore
import Submission
import Testing

/// Compared with Postfix 3.7.11 in the modes no, normalize and reject.
@Suite struct DataDecoderTests {
    struct Case: Sendable, CustomStringConvertible {
        var input: String
        /// nil when the input does not end the message.
        var strict: String?
        var lenient: String?
        /// What stays in the input.
        var strictRest = ""
        var lenientRest = ""
        var description: String { input.debugDescription }
    }

    static let cases: [Case] = [
        Case(input: "a\r\n.\r\n", strict: "a\r\n", lenient: "a\r\n"),
        Case(input: ".\r\n", strict: "", lenient: ""),
        Case(input: ".\r\nQUIT\r\n", strict: "", lenient: "", strictRest: "QUIT\r\n", lenientRest: "QUIT\r\n"),
        Case(input: "a\n.\n\r\n.\r\n", strict: "a\r\n\r\n", lenient: "a\r\n", lenientRest: "\r\n.\r\n"),
        Case(input: "a\n.\r\nb\r\n.\r\n", strict: "a\r\nb\r\n", lenient: "a\r\n", lenientRest: "b\r\n.\r\n"),
        Case(input: "a\r\n.\nb\r\n.\r\n", strict: "a\r\nb\r\n", lenient: "a\r\n", lenientRest: "b\r\n.\r\n"),
        Case(input: "a\n.\r\n.\r\n", strict: "a\r\n", lenient: "a\r\n", lenientRest: ".\r\n"),
        Case(input: "a\r.\rb\r\n.\r\n", strict: "a . b\r\n", lenient: "a . b\r\n"),
        Case(input: "a\r\r\nb\r\n.\r\n", strict: "a \r\nb\r\n", lenient: "a\r\nb\r\n"),
        Case(input: "a\r\n.\r\r\nb\r\n.\r\n", strict: "a\r\n \r\nb\r\n", lenient: "a\r\n", lenientRest: "b\r\n.\r\n"),
        Case(input: "a\u{0}b\r\n..c\r\n.d\r\n.\r\n", strict: "a\u{0}b\r\n.c\r\nd\r\n", lenient: "a\u{0}b\r\n.c\r\nd\r\n"),
        Case(input: "a\r\r\r\n\r\n.\r\n", strict: "a  \r\n\r\n", lenient: "a\r\n\r\n"),
        Case(input: "\n.\r\nx\r\n.\r\n", strict: "\r\nx\r\n", lenient: "\r\n", lenientRest: "x\r\n.\r\n"),
        Case(input: "\u{0}.\r\n\u{80}\r\n.\r\n", strict: "\u{0}.\r\n\u{80}\r\n", lenient: "\u{0}.\r\n\u{80}\r\n"),
        Case(input: "a\r\n.\r", strict: nil, lenient: nil),
        Case(input: "a\r\n. \r\n.\r\n", strict: "a\r\n \r\n", lenient: "a\r\n \r\n"),
    ]

    static func decode(
        _ pieces: [[UInt8]],
        _ lineEnds: DataDecoder.LineEnds,
        replacesStrayCR: Bool = true
    ) -> (String?, rest: String, DataDecoder) {
        var decoder = DataDecoder(lineEnds: lineEnds, replacesStrayCR: replacesStrayCR)
        var output = ByteBuffer()
        var input = ByteBuffer()
        var ended = false
        for piece in pieces {
            input.writeBytes(piece)
            if !ended { ended = decoder.decode(&input, into: &output) }
        }
        return (ended ? String(buffer: output) : nil, String(buffer: input), decoder)
    }

    @Test(arguments: cases)
    func splitAtEveryByte(_ test: Case) {
        let bytes = Array(test.input.utf8)
        for first in 0...bytes.count {
            for second in first...bytes.count {
                let pieces = [Array(bytes[..<first]), Array(bytes[first..<second]), Array(bytes[second...])]
                let strict = Self.decode(pieces, .strict)
                #expect(strict.0 == test.strict)
                if test.strict != nil { #expect(strict.rest == test.strictRest) }
                let lenient = Self.decode(pieces, .lenient)
                #expect(lenient.0 == test.lenient)
                if test.lenient != nil { #expect(lenient.rest == test.lenientRest) }
            }
        }
    }

    @Test func bareLineFeedsAreNoticed() {
        #expect(Self.decode([Array("a\r\nb\n.\r\n".utf8)], .strict).2.sawBareLineFeed)
        #expect(!Self.decode([Array("a\r\nb\r\n.\r\n".utf8)], .strict).2.sawBareLineFeed)
    }

    @Test func strayCarriageReturnsMayBeKept() {
        #expect(Self.decode([Array("a\rb\r\r\n\r\n.\r\n".utf8)], .strict, replacesStrayCR: false).0 == "a\rb\r\r\n\r\n")
    }

    @Test func longLinesAndBinary() {
        let line = [UInt8](repeating: UInt8(ascii: "x"), count: 1_000_000)
        let binary = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }.filter {
            $0 != 0x0D && $0 != 0x0A && $0 != 0x2E
        }
        let message = line + [0x0D, 0x0A] + binary + [0x0D, 0x0A]
        let end: [UInt8] = [0x2E, 0x0D, 0x0A]
        for size in [1000, 4096, 65_536] {
            let all = message + end
            let pieces = stride(from: 0, to: all.count, by: size).map { Array(all[$0..<min($0 + size, all.count)]) }
            var decoder = DataDecoder(lineEnds: .strict, replacesStrayCR: true)
            var output = ByteBuffer()
            var ended = false
            for piece in pieces {
                var input = ByteBuffer(bytes: piece)
                ended = decoder.decode(&input, into: &output)
                #expect(input.readableBytes == 0)
            }
            #expect(ended)
            #expect(Array(output.readableBytesView) == message)
        }
    }

    @Test func carriageReturnsWithoutEndTakeNoMemory() {
        var decoder = DataDecoder(lineEnds: .lenient, replacesStrayCR: true)
        var output = ByteBuffer()
        for _ in 0..<20 {
            var input = ByteBuffer(repeating: 0x0D, count: 65_536)
            #expect(!decoder.decode(&input, into: &output))
            #expect(input.readableBytes == 0)
        }
        // All but the last few leave as they come, so that the size limit sees them.
        #expect(output.readableBytes == 20 * 65_536 - 2048)
    }

    /// Held back, they would be written as one run when the next letter comes.
    @Test(arguments: [DataDecoder.LineEnds.lenient, .strict])
    func aLetterAfterManyCarriageReturnsWritesNoMoreThanItself(_ lineEnds: DataDecoder.LineEnds) {
        var decoder = DataDecoder(lineEnds: lineEnds, replacesStrayCR: true)
        for _ in 0..<5 {
            var input = ByteBuffer(repeating: 0x0D, count: 65_536)
            var output = ByteBuffer()
            #expect(!decoder.decode(&input, into: &output))
            #expect(output.readableBytes <= 65_536)
        }
        var input = ByteBuffer(string: "x\r\n.\r\n")
        var output = ByteBuffer()
        #expect(decoder.decode(&input, into: &output))
        #expect(output.readableBytes < 4096)
    }

    static let counted: [(input: String, strict: String, lenient: String)] = [
        ("a\r\n.\r\n..b\r\n", "a\r\n.\r\n..b\r\n", "a\r\n.\r\n..b\r\n"),
        ("a\n.\nb", "a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"),
        (".\n.y\ra\r.\rb\r\r\nz\r\r\r", ".\r\n.y a . b \r\nz   \r\n", ".\r\n.y a . b\r\nz   \r\n"),
        ("", "", ""),
        ("a\r\r", "a  \r\n", "a  \r\n"),
        ("\r\n.\r\n", "\r\n.\r\n", "\r\n.\r\n"),
    ]

    /// BDAT: cut at every byte, also between what the client calls chunks.
    @Test(arguments: counted)
    func countedContent(_ test: (input: String, strict: String, lenient: String)) {
        let bytes = Array(test.input.utf8)
        for (lineEnds, expected) in [(DataDecoder.LineEnds.strict, test.strict), (.lenient, test.lenient)] {
            for first in 0...bytes.count {
                for second in first...bytes.count {
                    var decoder = DataDecoder(lineEnds: lineEnds, replacesStrayCR: true, framing: .count)
                    var output = ByteBuffer()
                    for piece in [bytes[..<first], bytes[first..<second], bytes[second...]] {
                        var input = ByteBuffer(bytes: piece)
                        #expect(!decoder.decode(&input, into: &output))
                        #expect(input.readableBytes == 0)
                    }
                    decoder.finish(into: &output)
                    #expect(String(buffer: output) == expected, "\(test.input.debugDescription) cut at \(first) and \(second)")
                }
            }
        }
    }
}
