import NIOCore
import Testing

@testable import Relay

/// Conversion for servers without 8BITMIME. The expected results are what Postfix 3.7.11 sent for the same messages.
@Suite struct MIMEDowngradeTests {
    static let leaf = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"

    static let multipart = """
        Content-Type: multipart/mixed; boundary="bb"\r
        Content-Transfer-Encoding: 8bit\r
        \r
        pre\u{FC}\r
        --bb\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Transfer-Encoding: 8bit\r
        \r
        gr\u{FC}n \u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\u{FC}\r
        --bb\r
        Content-Type: application/octet-stream\r
        Content-Transfer-Encoding: base64\r
        \r
        AAAA\r
        --bb\r
        Content-Type: application/octet-stream\r
        Content-Transfer-Encoding: binary\r
        \r
        \u{FC}\u{01}\t\r
        --bb\r
        Content-Type: message/rfc822\r
        Content-Transfer-Encoding: 8bit\r
        \r
        Subject: inner\u{FC}\r
        Content-Transfer-Encoding: 8bit\r
        \r
        b\u{FC}\r
        --bb--\r
        epi\u{FC}\r

        """

    static let convertedMultipart = """
        Content-Type: multipart/mixed; boundary="bb"\r
        Content-Transfer-Encoding: 7bit\r
        \r
        pre\u{FC}\r
        --bb\r
        Content-Type: text/plain; charset=utf-8\r
        Content-Transfer-Encoding: quoted-printable\r
        \r
        gr=C3=BCn =C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=\r
        =BC=C3=BC=C3=BC\r
        --bb\r
        Content-Type: application/octet-stream\r
        Content-Transfer-Encoding: base64\r
        \r
        AAAA\r
        --bb\r
        Content-Type: application/octet-stream\r
        Content-Transfer-Encoding: quoted-printable\r
        \r
        =C3=BC=01=09\r
        --bb\r
        Content-Type: message/rfc822\r
        Content-Transfer-Encoding: 7bit\r
        \r
        Subject: inner\u{FC}\r
        Content-Transfer-Encoding: quoted-printable\r
        \r
        b=C3=BC\r
        --bb--\r
        epi\u{FC}\r

        """

    static let part = "--bb\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{FC}\r\n--bb--\r\n"
    static let convertedPart = "--bb\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n--bb--\r\n"

    static let examples: [(message: String, converted: String)] = [
        ("Subject: a\r\n\r\ngr\u{FC}n = x \r\n", "Subject: a\r\n\r\ngr\u{FC}n = x \r\n"),
        (
            leaf + "Content-Transfer-Encoding: 8bit\r\n\r\ngr\u{FC}n = x \r\n.dot\r\nlast",
            leaf + "Content-Transfer-Encoding: quoted-printable\r\n\r\ngr=C3=BCn =3D x=20\r\n.dot\r\nlast"
        ),
        (
            "Content-transfer-encoding: (c)\r\n 8BIT\r\n" + leaf + "\r\n\u{FC}\r\n",
            leaf + "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
        ),
        (
            leaf + "Content-Transfer-Encoding: 7bit\r\n\r\ngr\u{FC}n = x \r\n",
            leaf + "Content-Transfer-Encoding: 7bit\r\n\r\ngr\u{FC}n = x \r\n"
        ),
        (multipart, convertedMultipart),
        (
            "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: binary; x\r\nX: y\r\n\r\n\u{FC}\r\n",
            "Content-Transfer-Encoding: 7bit\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n"
        ),
        (
            "Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n\u{FC}\r\n",
            "Content-Transfer-Encoding: 7bit\r\n\r\n\u{FC}\r\n"
        ),
        // Without a boundary there are no parts, but it is a multipart.
        (
            "Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--bb\r\n\u{FC}\r\n",
            "Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: 7bit\r\n\r\n--bb\r\n\u{FC}\r\n"
        ),
        (
            "Content-Type: multipart / mixed (c) ; a; (d) boundary (e) = (f) bb (g); x=y\r\n\r\n\(part)",
            "Content-Type: multipart / mixed (c) ; a; (d) boundary (e) = (f) bb (g); x=y\r\n\r\n\(convertedPart)"
        ),
        ("Content-Type: multi(x)part/mixed; boundary=bb\r\n\r\n\(part)", "Content-Type: multi(x)part/mixed; boundary=bb\r\n\r\n\(part)"),
        // What stands behind a boundary does not matter.
        (
            "Content-Type: multipart/mixed; boundary=bb\r\n\r\n\(part.replacing("--bb", with: "--bbx"))",
            "Content-Type: multipart/mixed; boundary=bb\r\n\r\n\(convertedPart.replacing("--bb", with: "--bbx"))"
        ),
        // Parts of a digest are messages.
        (
            "Content-Type: multipart/digest; boundary=bb\r\n\r\n--bb\r\n\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{FC}\r\n--bb--\r\n",
            "Content-Type: multipart/digest; boundary=bb\r\n\r\n--bb\r\n\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BC\r\n--bb--\r\n"
        ),
        // A header that a boundary ends.
        (
            "Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\(part)",
            "Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nX: y\r\nContent-Transfer-Encoding: quoted-printable\r\n\(convertedPart)"
        ),
        (
            leaf
                + "Content-Transfer-Encoding: 8bit\r\n\r\n\(String(repeating: "x", count: 148))\r\n\(String(repeating: "z", count: 72))\u{FC}\r\n",
            leaf + "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                + String(repeating: String(repeating: "x", count: 73) + "=\r\n", count: 2) + "xx\r\n"
                + String(repeating: "z", count: 72) + "=C3=\r\n=BC\r\n"
        ),
        ("Subject: no body\r\nContent-Transfer-Encoding: 8bit\r\n", "Subject: no body\r\nContent-Transfer-Encoding: 8bit\r\n"),
        ("", ""),
    ]

    static func convert(_ message: ByteBuffer, piece: Int) -> String {
        var downgrade = MIMEDowngrade()
        var input = message
        var out = ByteBuffer()
        while let part = input.readSlice(length: min(piece, input.readableBytes)), part.readableBytes > 0 {
            out.writeImmutableBuffer(downgrade.convert(part))
        }
        out.writeImmutableBuffer(downgrade.finish())
        return String(buffer: out)
    }

    @Test(arguments: examples.indices, [1, 2, 3, 7, 64, 65536]) func asPostfixDoes(_ index: Int, piece: Int) {
        let example = Self.examples[index]
        #expect(Self.convert(ByteBuffer(string: example.message), piece: piece) == example.converted)
    }

    /// What needs SMTPUTF8 for its headers' sake: those of parts and of messages inside count, their content does not.
    @Test(
        arguments: [
            ("Subject: \u{FC}\r\n\r\nx\r\n", true), ("Subject: u\r\n\r\n\u{FC}\r\n", false), ("Subject: \u{FC}", true),
            ("Content-Type: message/rfc822\r\n\r\nSubject: \u{FC}\r\n\r\nx\r\n", true),
            ("Content-Type: message/rfc822\r\n\r\nSubject: u\r\n\r\n\u{FC}\r\n", false),
            ("Content-Type: multipart/mixed; boundary=bb\r\n\r\n\u{FC}\r\n--bb\r\nX: \u{FC}\r\n\r\nx\r\n--bb--\r\n", true),
            ("Content-Type: multipart/mixed; boundary=bb\r\n\r\n\u{FC}\r\n\(part)", false),
            ("Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nX: \u{FC}\r\n--bb--\r\n", true),
        ],
        [1, 7, 65536]
    ) func headersBeyondASCII(_ example: (message: String, isBeyond: Bool), piece: Int) {
        var downgrade = MIMEDowngrade()
        var input = ByteBuffer(string: example.message)
        while let part = input.readSlice(length: min(piece, input.readableBytes)), part.readableBytes > 0 { _ = downgrade.convert(part) }
        _ = downgrade.finish()
        #expect(downgrade.hasHeaderBeyondASCII == example.isBeyond)
    }

    /// Lines without end are neither held in memory nor broken wrongly: the decoded content is the same.
    @Test func veryLongLines() throws {
        let text = String(repeating: "\u{FC}=", count: 40_000)
        let message = Self.leaf + "Content-Transfer-Encoding: binary\r\n\r\n" + text + "\r\nend\r\n"
        let converted = Self.convert(ByteBuffer(string: message), piece: 1000)
        #expect(converted.split(separator: "\r\n").allSatisfy { $0.utf8.count <= 76 })
        let body = try #require(converted.firstRange(of: "\r\n\r\n")).upperBound
        let decoded = converted[body...].replacing("=\r\n", with: "").replacing("=C3=BC", with: "\u{FC}").replacing("=3D", with: "=")
        #expect(decoded == text + "\r\nend\r\n")
    }

    @Test func noInputTraps() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var message = ByteBuffer(string: Self.multipart)
            for _ in 0..<8 {
                message.setInteger(UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0..<message.readableBytes, using: &random))
            }
            _ = Self.convert(message, piece: Int.random(in: 1...50, using: &random))
        }
    }
}
