/// What a completed handshake agreed on: for the log, the Received header and the rules.
package struct TLSFacts: Sendable, Hashable {
    /// `TLSv1.3`, `TLSv1.2`, ...
    package var protocolVersion = ""
    /// OpenSSL's name: `TLS_AES_256_GCM_SHA384`.
    package var cipher = ""
    package var usedBits = 0
    package var algorithmBits = 0
    /// `X25519`, `ECDHE (prime256v1)`; TLS 1.3 only, as in Postfix's log.
    package var keyExchange = ""
    /// `RSA-PSS (2048 bits)`, `ECDSA (prime256v1)`, `ED25519`; TLS 1.3 only.
    package var serverSignature = ""
    /// `SHA256`; empty after a resumption and for signatures that have none.
    package var serverDigest = ""
    /// The same for a client's certificate; empty without one.
    package var clientSignature = ""
    package var clientDigest = ""
    /// An earlier session was resumed.
    package var isResumed = false
    /// The client (on the server's side) or server (on the client's side) presented a certificate.
    package var peerCertificatePresent = false
    /// ... and its chain ends in a trusted CA.
    package var peerCertificateTrusted = false
    /// On the client's side: the first of `TLSClientTarget.matchNames` that the certificate carries; nil if none does.
    package var peerMatchedName: String?
    /// The subject's common name, as it stands in the certificate: any Unicode text.
    package var peerCommonName = ""
    /// The issuer's common name, else its organisation.
    package var peerIssuerName = ""
    package var serverNameIndication = ""

    package init() {}

    /// The log's text after `TLS connection established from NAMADDR: `:
    /// `TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS (2048 bits) server-digest SHA256`.
    package var summary: String {
        ([protocolAndCipher] + signatureLines).joined(separator: " ")
    }

    /// The word before `TLS connection established`: `Anonymous`, `Untrusted`, `Trusted`, and on the client's side `Verified`.
    package var trustClass: String {
        guard peerCertificatePresent else { return "Anonymous" }
        guard peerCertificateTrusted else { return "Untrusted" }
        return peerMatchedName == nil ? "Trusted" : "Verified"
    }

    /// The lines of the Received header (without TAB and line end) that `smtpd_tls_received_header` asks for.
    /// `askedForCertificate`: the server requested one (`smtpd_tls_ask_ccert`).
    package func receivedHeaderLines(askedForCertificate: Bool) -> [String] {
        let signatures = signatureLines.map { " " + $0 }
        var lines = ["(using " + protocolAndCipher] + signatures
        lines[lines.count - 1] += ")"
        if peerCertificatePresent {
            let verdict = peerCertificateTrusted ? "verified OK" : "not verified"
            lines.append("(Client CN \"\(Self.comment(peerCommonName))\", Issuer \"\(Self.comment(peerIssuerName))\" (\(verdict)))")
        } else {
            lines.append(askedForCertificate ? "(Client did not present a certificate)" : "(No client certificate requested)")
        }
        return lines
    }

    private var protocolAndCipher: String {
        "\(protocolVersion) with cipher \(cipher) (\(usedBits)/\(algorithmBits) bits)"
    }

    /// Postfix's two groups: key exchange and server, then client. The header has a line for each.
    private var signatureLines: [String] {
        let server = Self.fields([("key-exchange", keyExchange), ("server-signature", serverSignature), ("server-digest", serverDigest)])
        let client = Self.fields([("client-signature", clientSignature), ("client-digest", clientDigest)])
        return [server, client].filter { !$0.isEmpty }
    }

    private static func fields(_ fields: [(name: String, value: String)]) -> String {
        fields.filter { !$0.value.isEmpty }.map { "\($0.name) \($0.value)" }.joined(separator: " ")
    }

    /// A certificate's text inside a header comment: what is not printable ASCII, and the backslash, become `?`; parentheses are balanced.
    static func comment(_ text: String) -> String {
        var result = ""
        var depth = 0
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "("):
                depth += 1
                result.append("(")
            case UInt8(ascii: ")"):
                result.append(depth > 0 ? ")" : "?")
                depth = max(0, depth - 1)
            case UInt8(ascii: "\\"), 0..<0x20, 0x7F...: result.append("?")
            default: result.unicodeScalars.append(Unicode.Scalar(byte))
            }
        }
        return result + String(repeating: ")", count: depth)
    }
}
