/// All that decides how a client side `TLSContext` is built. One context serves every connection with the same values; what differs from
/// connection to connection (server name, names to match) is given to the handler as `TLSClientTarget`.
package struct TLSClientConfiguration: Sendable, Hashable {
    /// `smtp_tls_cert_file` and `smtp_tls_key_file`.
    package var pair: TLSKeyPair?
    /// `smtp_tls_eccert_file` and `smtp_tls_eckey_file`.
    package var ecPair: TLSKeyPair?
    /// `smtp_tls_chain_files`; replaces the pairs if not empty.
    package var chainFiles: [String] = []
    /// `smtp_tls_CAfile`, `smtp_tls_CApath`, `tls_append_default_CA`.
    package var authorities = TLSAuthorities()
    package var policy = TLSPolicy()

    package init() {}
}

/// The server a client connection is meant for.
///
/// The handshake completes whatever certificate the server presents; `TLSFacts.peerCertificateTrusted` and `peerMatchedName` say what it
/// was worth, and the relay decides by its security level, as Postfix does (`Server certificate not trusted`, `... not verified`).
package struct TLSClientTarget: Sendable, Hashable {
    /// Sent as SNI (RFC 6066) if not nil. Not for address literals.
    package var serverName: String?
    /// Names of which one must stand in the certificate for `peerMatchedName` to be set. `.example.com` matches any subdomain.
    package var matchNames: [String]
    /// `tls_wildcard_matches_multiple_labels`.
    package var wildcardMatchesMultipleLabels: Bool

    package init(serverName: String? = nil, matchNames: [String] = [], wildcardMatchesMultipleLabels: Bool = true) {
        self.serverName = serverName
        self.matchNames = matchNames
        self.wildcardMatchesMultipleLabels = wildcardMatchesMultipleLabels
    }
}
