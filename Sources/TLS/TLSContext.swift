/// A configured TLS library context (OpenSSL's `SSL_CTX`), built once and shared by all connections and loops.
///
/// Every file is read in `server(_:)` or `client(_:)`, synchronously, so a context built while still root goes on working after chroot and
/// the drop of privileges.
package final class TLSContext: Sendable {
    /// The leaf certificate of each pair that was loaded.
    package let certificates: [TLSCertificateSummary]
    /// What is odd but no reason to refuse: an expired certificate, an empty CA directory, an unknown curve.
    package let warnings: [TLSProblem]
    /// Whether client certificates are requested.
    package let asksClientCertificate: Bool

    init(certificates: [TLSCertificateSummary], warnings: [TLSProblem], asksClientCertificate: Bool) {
        self.certificates = certificates
        self.warnings = warnings
        self.asksClientCertificate = asksClientCertificate
    }

    /// Reads all files the configuration names and checks that they fit together.
    package static func server(_ configuration: TLSServerConfiguration) throws(TLSConfigurationError) -> TLSContext {
        throw TLSConfigurationError([TLSProblem(.library, "TLS is not implemented yet")])
    }

    /// Reads all files the configuration names and checks that they fit together.
    package static func client(_ configuration: TLSClientConfiguration) throws(TLSConfigurationError) -> TLSContext {
        throw TLSConfigurationError([TLSProblem(.library, "TLS is not implemented yet")])
    }
}

/// What a loaded certificate says about itself.
package struct TLSCertificateSummary: Sendable, Hashable {
    package var file: String
    /// RFC 2253 text of the subject.
    package var subject: String
    package var issuer: String
    /// The DNS names and addresses of subjectAltName.
    package var names: [String]
    /// Seconds since 1970, UTC.
    package var notBefore: Int
    package var notAfter: Int
    /// `RSA`, `EC`, `ED25519`, ...
    package var keyType: String
}
