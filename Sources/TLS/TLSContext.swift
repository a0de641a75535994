import COpenSSL

/// A configured TLS library context (OpenSSL's `SSL_CTX`), built once and shared by all connections and loops.
///
/// Every file is read in `server(_:)` or `client(_:)`, synchronously, so a context built while still root goes on working after chroot and
/// the drop of privileges. Building one blocks: never on a loop.
@safe
package final class TLSContext: Sendable {
    /// The leaf certificate of each pair that was loaded.
    package let certificates: [TLSCertificateSummary]
    /// What is odd but no reason to refuse: an expired certificate, an empty CA directory, an unknown curve.
    package let warnings: [TLSProblem]
    /// Whether client certificates are requested.
    package let asksClientCertificate: Bool
    // The library guards it with its own locks; after the build we only make connections from it.
    nonisolated(unsafe) let pointer: OpaquePointer

    init(owning pointer: OpaquePointer, certificates: [TLSCertificateSummary], warnings: [TLSProblem], asksClientCertificate: Bool) {
        unsafe self.pointer = unsafe pointer
        self.certificates = certificates
        self.warnings = warnings
        self.asksClientCertificate = asksClientCertificate
    }

    deinit { unsafe SSL_CTX_free(pointer) }

    /// Reads all files the configuration names and checks that they fit together; throws every problem found.
    package static func server(_ configuration: TLSServerConfiguration) throws(TLSConfigurationError) -> TLSContext {
        let builder = try ContextBuilder(isServer: true)
        builder.apply(configuration.policy)
        builder.applyDHParameters(file: configuration.dhParametersFile)
        builder.applyServerSessions(configuration)
        if !configuration.hasCertificate {
            builder.fail(.certificateFile, "no server certificate is configured")
        }
        builder.loadIdentity(pair: configuration.pair, ecPair: configuration.ecPair, chainFiles: configuration.chainFiles)
        builder.load(configuration.authorities, announceToClients: configuration.askClientCertificate)
        return try builder.finish(asksClientCertificate: configuration.askClientCertificate)
    }

    /// Reads all files the configuration names and checks that they fit together; throws every problem found.
    package static func client(_ configuration: TLSClientConfiguration) throws(TLSConfigurationError) -> TLSContext {
        let builder = try ContextBuilder(isServer: false)
        builder.apply(configuration.policy)
        builder.loadIdentity(pair: configuration.pair, ecPair: configuration.ecPair, chainFiles: configuration.chainFiles)
        builder.load(configuration.authorities, announceToClients: false)
        return try builder.finish(asksClientCertificate: false)
    }
}

extension ContextBuilder {
    func loadIdentity(pair: TLSKeyPair?, ecPair: TLSKeyPair?, chainFiles: [String]) {
        guard chainFiles.isEmpty else {
            if pair != nil || ecPair != nil {
                warn(.chainFiles, "the certificate and key files are ignored because chain files are set")
            }
            return load(chainFiles: chainFiles)
        }
        if let pair { load(pair, certificateSetting: .certificateFile, keySetting: .keyFile) }
        if let ecPair { load(ecPair, certificateSetting: .ecCertificateFile, keySetting: .ecKeyFile) }
    }
}
