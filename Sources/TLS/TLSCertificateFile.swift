/// What stands in a certificate's file: for `postern cert show` and for checks that need no context.
package enum TLSCertificateFile {
    /// All certificates of a PEM file, leaf first. Blocking.
    package static func read(_ file: String) throws(TLSConfigurationError) -> [TLSCertificateSummary] {
        try blocks(file).filter(\.isCertificate).map { block throws(TLSConfigurationError) in
            guard let certificate = Certificate(block) else {
                let reason = LibraryErrors.take().first.map(LibraryErrors.reason) ?? "unknown error"
                throw problem(.certificateFile, file, "\(file): a certificate cannot be read: \(reason)")
            }
            return TLSCertificateSummary(certificate, file: file)
        }
    }

    /// Whether the private key in `keyFile` belongs to the first certificate in `certificateFile`. Blocking.
    package static func key(_ keyFile: String, matches certificateFile: String) throws(TLSConfigurationError) -> Bool {
        guard let certificate = try blocks(certificateFile).first(where: \.isCertificate).flatMap({ Certificate($0) }) else {
            throw problem(.certificateFile, certificateFile, "\(certificateFile) holds no certificate")
        }
        guard let block = try blocks(keyFile).first(where: \.isPrivateKey) else {
            throw problem(.keyFile, keyFile, "\(keyFile) holds no private key")
        }
        guard !block.isEncrypted, let key = PrivateKey(block) else {
            throw problem(
                .keyFile,
                keyFile,
                "the private key in \(keyFile) cannot be read\(block.isEncrypted ? " without its passphrase" : "")"
            )
        }
        return certificate.matches(key)
    }

    private static func blocks(_ file: String) throws(TLSConfigurationError) -> [PEMBlock] {
        let content: [UInt8]
        do { content = try readSmallFile(file) } catch { throw problem(.certificateFile, file, "cannot read \(file): \(error.reason)") }
        guard let blocks = PEMBlock.parse(content), !blocks.isEmpty else {
            throw problem(.certificateFile, file, "\(file) is not in PEM form")
        }
        return blocks
    }

    private static func problem(_ setting: TLSSetting, _ file: String, _ text: String) -> TLSConfigurationError {
        TLSConfigurationError([TLSProblem(setting, file: file, text)])
    }
}
