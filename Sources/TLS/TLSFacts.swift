/// What a completed handshake agreed on: for the log, the Received header and the rules.
package struct TLSFacts: Sendable, Hashable {
    /// `TLSv1.3`, `TLSv1.2`, ...
    package var protocolVersion = ""
    /// OpenSSL's name: `TLS_AES_256_GCM_SHA384`.
    package var cipher = ""
    package var usedBits = 0
    package var algorithmBits = 0
    /// `X25519`, `ECDHE (...)`; empty when the library does not tell.
    package var keyExchange = ""
    /// As in Postfix's log: `RSA-PSS (2048 bits)`, `ECDSA (prime256v1)`; empty when the library does not tell.
    package var serverSignature = ""
    /// `SHA256`; empty when the library does not tell.
    package var serverDigest = ""
    /// The client (on the server's side) or server (on the client's side) presented a certificate.
    package var peerCertificatePresent = false
    /// ... and its chain ends in a trusted CA.
    package var peerCertificateTrusted = false
    /// On the client's side: the first of `TLSClientTarget.matchNames` that the certificate carries; nil if none does.
    package var peerMatchedName: String?
    package var peerCommonName = ""
    package var peerIssuerName = ""
    package var serverNameIndication = ""

    package init() {}

    /// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)`, then the parts that are known, as log and Received header print them.
    package var summary: String {
        "\(protocolVersion) with cipher \(cipher) (\(usedBits)/\(algorithmBits) bits)"
    }
}

/// Fired up the pipeline just before `TLSEvent.handshakeFailed` when the peer's first bytes were a plaintext SMTP command (on the server's
/// side) or reply (on the client's side): one of the two ends is set up for the wrong kind of port.
package struct TLSPlaintextReceived: Sendable, Hashable {
    /// The beginning of what came, printable ASCII only, at most 32 characters.
    package let beginning: String

    package init(beginning: String) { self.beginning = beginning }
}

/// A failure after the handshake, fired as an error before the channel is closed.
package struct TLSError: Error, Sendable, Hashable, CustomStringConvertible {
    /// As Postfix logs them after `TLS library problem: `.
    package let libraryErrors: [String]
    package var description: String { libraryErrors.isEmpty ? "TLS connection failed" : libraryErrors.joined(separator: "; ") }

    package init(libraryErrors: [String]) { self.libraryErrors = libraryErrors }
}

/// Fired up the pipeline by the TLS handler as a user inbound event.
package enum TLSEvent: Sendable {
    case handshakeCompleted(TLSFacts)
    /// The reason as Postfix words it after `SSL_accept error from NAMADDR: ` (`-1`, `lost connection`, errno text), and the library's
    /// error lines. The channel is closed by the handler afterwards.
    case handshakeFailed(reason: String, libraryErrors: [String])
}
