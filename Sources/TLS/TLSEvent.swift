/// Fired up the pipeline by the TLS handler as a user inbound event.
package enum TLSEvent: Sendable {
    case handshakeCompleted(TLSFacts)
    /// The reason as Postfix words it after `SSL_accept error from NAMADDR: ` (`-1`, `lost connection`, errno text), and the library's
    /// error lines. The channel is closed by the handler afterwards.
    case handshakeFailed(reason: String, libraryErrors: [String])
}

/// Fired up the pipeline just before `TLSEvent.handshakeFailed` when the peer's first bytes were a plaintext SMTP command or HTTP request (on the
/// server's side) or reply (on the client's side): one of the two ends is set up for the wrong kind of port.
package struct TLSPlaintextReceived: Sendable, Hashable {
    /// The beginning of what came, printable ASCII only, at most 32 characters.
    package let beginning: String

    static let limit = 32
    private static let verbs = [
        "EHLO", "HELO", "LHLO", "STAR", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "ETRN",
        "XCLI",
        "XFOR",
        // A web browser, or something that looks for open proxies.
        "GET ", "POST", "HEAD", "PUT ", "OPTI", "CONN",
    ]

    /// nil if `bytes` do not begin like SMTP or HTTP. A few bytes are enough: the library gives up after the five of a record header.
    package init?(_ bytes: some Sequence<UInt8>, fromClient: Bool) {
        let bytes = Array(bytes.prefix(Self.limit))
        let start = String(decoding: bytes.prefix(4), as: UTF8.self).uppercased()
        if fromClient {
            guard Self.verbs.contains(start) else { return nil }
        } else {
            guard bytes.count >= 4, ("2"..."5").contains(start.prefix(1)),
                start.utf8.dropFirst().prefix(2).allSatisfy({ $0 & 0xF0 == 0x30 }),
                start.hasSuffix(" ") || start.hasSuffix("-")
            else { return nil }
        }
        beginning = String(decoding: bytes.prefix { (0x20..<0x7F).contains($0) }, as: UTF8.self)
    }
}

/// A failure after the handshake, fired as an error before the channel is closed.
package struct TLSError: Error, Sendable, Hashable, CustomStringConvertible {
    /// As Postfix logs them after `TLS library problem: `.
    package let libraryErrors: [String]
    package var description: String { libraryErrors.isEmpty ? "TLS connection failed" : libraryErrors.joined(separator: "; ") }

    package init(libraryErrors: [String]) { self.libraryErrors = libraryErrors }
}
