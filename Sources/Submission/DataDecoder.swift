import ByteScan
package import NIOCore

/// Turns the content of DATA or BDAT into message lines: every line ends in CRLF. In DATA dots are unstuffed and the end is found (RFC 5321
/// section 4.5.2); the chunks of BDAT are counted, and a dot is a dot (RFC 3030 section 2).
///
/// A pure state machine over whole buffers: it may be fed in pieces of any size, and gives the same output however the input is cut.
package struct DataDecoder: Sendable {
    /// What a line feed without carriage return may do (`smtpd_forbid_bare_newline`).
    package enum LineEnds: Sendable, Hashable {
        /// `no`, and excluded clients: CRLF and LF are the same, also around the final dot; all carriage returns before a line feed go.
        case lenient
        /// `normalize`, `note`, `reject`: a bare LF ends a line, but the end of the message needs CRLF on both sides of its dot; any other
        /// line of a single dot is dropped. Exactly one carriage return before a line feed goes.
        case strict
    }

    /// What ends the content.
    package enum Framing: Sendable, Hashable {
        /// DATA: a line of a single dot.
        case dot
        /// BDAT: whoever counts the bytes, who then calls ``finish(into:)``.
        case count
    }

    private enum Position: Sendable {
        case lineStart
        /// The line began with a dot, which has been taken off, and nothing else has been seen but perhaps carriage returns.
        case afterDot
        case inLine
    }

    private let lineEnds: LineEnds
    private let framing: Framing
    /// `cleanup_replace_stray_cr_lf`: a carriage return inside a line becomes a space, so that no next hop can take it for a line end.
    private let replacesStrayCR: Bool
    private var position = Position.lineStart
    /// Carriage returns read but not written yet: what they are depends on the byte that follows.
    private var heldCarriageReturns = 0
    private static let heldLimit = 2048
    private var previousLineEndedInCRLF = true

    /// Bytes written of a line that has not ended yet.
    private(set) var unfinishedLength = 0

    /// A line ended in LF without CR.
    package private(set) var sawBareLineFeed = false

    package init(lineEnds: LineEnds, replacesStrayCR: Bool, framing: Framing = .dot) {
        self.lineEnds = lineEnds
        self.framing = framing
        self.replacesStrayCR = replacesStrayCR
    }

    /// Consumes `input` up to and including the end-of-data line and appends the decoded lines to `output`.
    /// - Returns: true when the end of data was found; what follows it stays in `input`. Never with counted content.
    package mutating func decode(_ input: inout ByteBuffer, into output: inout ByteBuffer) -> Bool {
        let view = input.readableBytesView
        let before = output.writerIndex
        output.reserveCapacity(minimumWritableBytes: view.count)
        // Lines that need no change are written as one run.
        var runStart = view.startIndex
        var lineStart = view.startIndex
        while lineStart < view.endIndex {
            let lineFeed = input.firstIndex(of: UInt8(ascii: "\n"), in: lineStart..<view.endIndex)
            let lineEnd = lineFeed ?? view.endIndex
            if let lineFeed, case .lineStart = position, isClean(input, lineStart..<lineFeed) {
                previousLineEndedInCRLF = true
                lineStart = lineFeed + 1
                continue
            }
            output.writeBytes(view[runStart..<lineStart])
            let isEnd = take(view[lineStart..<lineEnd], endsLine: lineFeed != nil, into: &output)
            lineStart = lineFeed.map { $0 + 1 } ?? view.endIndex
            runStart = lineStart
            if isEnd {
                input.moveReaderIndex(forwardBy: lineStart - view.startIndex)
                return true
            }
        }
        output.writeBytes(view[runStart..<lineStart])
        input.moveReaderIndex(forwardBy: view.count)
        noteUnfinishedLine(output, from: before)
        return false
    }

    private mutating func noteUnfinishedLine(_ output: ByteBuffer, from start: Int) {
        guard let written = output.viewBytes(at: start, length: output.writerIndex - start) else { return }
        if let lineFeed = written.lastIndex(of: UInt8(ascii: "\n")) {
            unfinishedLength = written.endIndex - lineFeed - 1
        } else {
            unfinishedLength += written.count
        }
    }

    /// Ends a last line that has no line end, at the end of counted content.
    package mutating func finish(into output: inout ByteBuffer) {
        if case .lineStart = position, heldCarriageReturns == 0 { return }
        writeStrayCarriageReturns(heldCarriageReturns, into: &output)
        heldCarriageReturns = 0
        position = .lineStart
        output.writeStaticString("\r\n")
    }

    /// Whether a line passes as it is: no leading dot that counts, and its first carriage return stands right before the line feed.
    private func isClean(_ input: ByteBuffer, _ line: Range<Int>) -> Bool {
        guard !line.isEmpty, framing == .count || input.getInteger(at: line.lowerBound) != UInt8(ascii: ".") else { return false }
        return input.firstIndex(of: UInt8(ascii: "\r"), in: line) == line.upperBound - 1
    }

    /// Takes a piece of one line, without its line feed. Returns true at the end of data.
    private mutating func take(_ piece: ByteBufferView, endsLine: Bool, into output: inout ByteBuffer) -> Bool {
        var text = piece
        if case .lineStart = position, let first = text.first {
            let isDot = framing == .dot && first == UInt8(ascii: ".")
            position = isDot ? .afterDot : .inLine
            if isDot { text = text.dropFirst() }
        }
        var end = text.endIndex
        while end > text.startIndex, text[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        if end > text.startIndex {
            position = .inLine
            writeStrayCarriageReturns(heldCarriageReturns, into: &output)
            heldCarriageReturns = 0
            writeBody(text[text.startIndex..<end], into: &output)
        }
        heldCarriageReturns += text.endIndex - end
        if heldCarriageReturns > Self.heldLimit {
            // Content after all, as it comes: written later, in one piece, a gigabyte of them would be one of memory that no limit has seen.
            position = .inLine
            writeStrayCarriageReturns(heldCarriageReturns - Self.heldLimit, into: &output)
            heldCarriageReturns = Self.heldLimit
        }
        return endsLine ? finishLine(into: &output) : false
    }

    private mutating func finishLine(into output: inout ByteBuffer) -> Bool {
        let endsInCRLF = heldCarriageReturns > 0
        let stray = lineEnds == .lenient ? 0 : max(0, heldCarriageReturns - 1)
        let isLoneDot = if case .afterDot = position { stray == 0 } else { false }
        let endsData = isLoneDot && (lineEnds == .lenient || (endsInCRLF && previousLineEndedInCRLF))
        if !endsInCRLF { sawBareLineFeed = true }
        position = .lineStart
        heldCarriageReturns = 0
        previousLineEndedInCRLF = endsInCRLF
        if isLoneDot { return endsData }
        writeStrayCarriageReturns(stray, into: &output)
        output.writeStaticString("\r\n")
        return false
    }

    private func writeBody(_ text: ByteBufferView, into output: inout ByteBuffer) {
        guard replacesStrayCR else {
            output.writeBytes(text)
            return
        }
        var start = text.startIndex
        while let stray = text[start...].firstIndex(of: UInt8(ascii: "\r")) {
            output.writeBytes(text[start..<stray])
            output.writeInteger(UInt8(ascii: " "))
            start = stray + 1
        }
        output.writeBytes(text[start...])
    }

    private func writeStrayCarriageReturns(_ count: Int, into output: inout ByteBuffer) {
        output.writeRepeatingByte(replacesStrayCR ? UInt8(ascii: " ") : UInt8(ascii: "\r"), count: count)
    }
}
