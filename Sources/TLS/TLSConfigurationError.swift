/// A part of a TLS configuration, named by the Postfix parameter that sets it.
package enum TLSSetting: String, Sendable, Hashable, CaseIterable {
    case certificateFile = "tls_cert_file"
    case keyFile = "tls_key_file"
    case ecCertificateFile = "tls_eccert_file"
    case ecKeyFile = "tls_eckey_file"
    case chainFiles = "tls_chain_files"
    case caFile = "tls_CAfile"
    case caPath = "tls_CApath"
    case protocols = "tls_protocols"
    case ciphers = "tls_ciphers"
    case dhParameters = "tls_dh1024_param_file"
    case curves = "tls_eecdh_auto_curves"
    case options = "tls_ssl_options"
    case disabledWorkarounds = "tls_disable_workarounds"
    /// The library itself failed; no parameter is to blame.
    case library = "tls"

    /// The main.cf name, with `prefix` being `smtpd`, `smtp` or `lmtp`. The names shared by all of them have no prefix.
    package func parameter(prefix: String) -> String {
        switch self {
        case .curves, .options, .disabledWorkarounds: rawValue
        default: "\(prefix)_\(rawValue)"
        }
    }
}

/// One thing wrong with a TLS configuration. `text` is complete by itself and names the files concerned.
package struct TLSProblem: Sendable, Hashable, CustomStringConvertible {
    package let setting: TLSSetting
    /// The file concerned, empty if none is.
    package let file: String
    package let text: String

    package var description: String { text }

    package init(_ setting: TLSSetting, file: String = "", _ text: String) {
        self.setting = setting
        self.file = file
        self.text = text
    }
}

/// Why a context cannot be built: every problem found, at least one.
package struct TLSConfigurationError: Error, Sendable, Hashable, CustomStringConvertible {
    package let problems: [TLSProblem]

    package var description: String { problems.map(\.text).joined(separator: "; ") }

    package init(_ problems: [TLSProblem]) { self.problems = problems }
}
