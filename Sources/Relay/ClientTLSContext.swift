import Settings
import TLS

/// Builds the TLS context of one transport from its `smtp_tls_*` parameters.
enum ClientTLSContext {
    static func make(_ reader: ClientParameterReader, isMandatory: Bool, problems: inout [Diagnostic]) -> TLSContext? {
        var configuration = TLSClientConfiguration()
        configuration.pair = pair(reader, "tls_cert_file", "tls_key_file")
        configuration.ecPair = pair(reader, "tls_eccert_file", "tls_eckey_file")
        configuration.chainFiles = reader.list("tls_chain_files")
        configuration.authorities = authorities(reader)
        do throws(TLSConfigurationError) {
            configuration.policy = try policy(reader, isMandatory: isMandatory)
            return try TLSContext.client(configuration)
        } catch {
            for problem in error.problems {
                let name = problem.setting.parameter(prefix: reader.prefix)
                problems.append(Diagnostic(.error, "\(name): \(problem.text)", at: reader.settings.location(of: name)))
            }
            return nil
        }
    }
}

extension ClientTLSContext {
    private static func pair(_ reader: ClientParameterReader, _ certificate: String, _ key: String) -> TLSKeyPair? {
        let file = reader.text(certificate)
        return file.isEmpty || file == "none" ? nil : TLSKeyPair(certificateFile: file, keyFile: reader.text(key))
    }

    private static func authorities(_ reader: ClientParameterReader) -> TLSAuthorities {
        TLSAuthorities(
            file: reader.text("tls_CAfile"),
            directory: reader.text("tls_CApath"),
            appendDefault: reader.settings.bool("tls_append_default_CA")
        )
    }

    /// Protocols and ciphers depend on whether TLS is optional (`smtp_tls_protocols`) or not (`smtp_tls_mandatory_protocols`).
    private static func policy(_ reader: ClientParameterReader, isMandatory: Bool) throws(TLSConfigurationError) -> TLSPolicy {
        var policy = TLSPolicy()
        policy.protocols = reader.text(isMandatory ? "tls_mandatory_protocols" : "tls_protocols")
        let grade = reader.text(isMandatory ? "tls_mandatory_ciphers" : "tls_ciphers").lowercased()
        guard ["high", "medium", "low", "export", "null"].contains(grade) else {
            throw TLSConfigurationError([TLSProblem(.ciphers, "unknown cipher grade \"\(grade)\"")])
        }
        let exclusions = reader.list("tls_exclude_ciphers") + (isMandatory ? reader.list("tls_mandatory_exclude_ciphers") : [])
        policy.cipherList = TLSCiphers.list(grade: reader.settings.text("tls_\(grade)_cipherlist"), excluding: exclusions)
        policy.options = reader.settings.text("tls_ssl_options")
        policy.disabledWorkarounds = reader.settings.text("tls_disable_workarounds")
        return policy
    }
}
