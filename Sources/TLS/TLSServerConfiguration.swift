/// A certificate chain and its private key, each a PEM file. Both may be one file.
package struct TLSKeyPair: Sendable, Hashable {
    /// Leaf first, then the intermediate certificates.
    package var certificateFile: String
    package var keyFile: String

    package init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}

/// When and how RFC 5077 and TLS 1.3 session tickets are issued.
package struct TLSSessionTickets: Sendable, Hashable {
    package var enabled = true
    /// Seconds (`smtpd_tls_session_cache_timeout`).
    package var lifetime = 3600

    package init(enabled: Bool = true, lifetime: Int = 3600) {
        self.enabled = enabled
        self.lifetime = lifetime
    }
}

/// What both ends of a connection may negotiate; the texts are Postfix's parameter values.
package struct TLSPolicy: Sendable, Hashable {
    /// `smtpd_tls_protocols`, `smtp_tls_mandatory_protocols`, ...: `>=TLSv1`, `!SSLv2, !SSLv3`, `TLSv1.2 TLSv1.3`.
    package var protocols = ">=TLSv1"
    /// An OpenSSL cipher list: the `tls_medium_cipherlist` (or other grade's) text; see `TLSCiphers.list(grade:excluding:)`.
    package var cipherList = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH"
    /// `tls_ssl_options`: names such as `NO_TICKET` or a hexadecimal mask.
    package var options = ""
    /// `tls_disable_workarounds`: names of OpenSSL's workarounds to switch off, or a hexadecimal mask.
    package var disabledWorkarounds = ""
    /// Groups for the key exchange, in order of preference (`tls_eecdh_auto_curves`, or the curve of grade strong or ultra). Names that
    /// the library does not know are left out, as Postfix does; empty means the library's own list.
    package var curves = ["X25519", "X448", "prime256v1", "secp521r1", "secp384r1"]

    package init() {}
}

/// All that decides how a server side `TLSContext` is built. A pure value: nothing is read before `TLSContext.server(_:)`.
package struct TLSServerConfiguration: Sendable, Hashable {
    /// `smtpd_tls_cert_file` and `smtpd_tls_key_file`; nil if not set or `none`.
    package var pair: TLSKeyPair?
    /// `smtpd_tls_eccert_file` and `smtpd_tls_eckey_file`.
    package var ecPair: TLSKeyPair?
    /// `smtpd_tls_chain_files`: each file holds a key followed by its chain, once or more often. Replaces `pair` and `ecPair` if not empty.
    package var chainFiles: [String] = []
    /// `smtpd_tls_CAfile`, `smtpd_tls_CApath`, `tls_append_default_CA`.
    package var authorities = TLSAuthorities()
    package var policy = TLSPolicy()
    /// `tls_preempt_cipherlist`: the server's order of ciphers wins.
    package var preemptCipherList = false
    /// `smtpd_tls_dh1024_param_file`: empty for the library's own parameters (Postfix's `auto`).
    package var dhParametersFile = ""
    /// `smtpd_tls_ask_ccert` (or `_req_ccert`): request a client certificate; its absence or distrust is left to the session to judge.
    package var askClientCertificate = false
    /// Tickets issued under one context string are not accepted under another (at most 32 bytes; longer ones are cut).
    package var sessionIDContext = "smtpd"
    package var tickets = TLSSessionTickets()

    package init() {}

    /// Whether any certificate is configured. Without one Postfix warns and does not offer TLS.
    package var hasCertificate: Bool { pair != nil || ecPair != nil || !chainFiles.isEmpty }
}

/// Where trust comes from. Everything is read when the context is built, so that it still works after chroot and the drop of privileges.
package struct TLSAuthorities: Sendable, Hashable {
    package var file = ""
    /// A directory of certificates with hashed names (`c_rehash`).
    package var directory = ""
    /// `tls_append_default_CA`: also trust what the library trusts by default.
    package var appendDefault = false

    package init(file: String = "", directory: String = "", appendDefault: Bool = false) {
        self.file = file
        self.directory = directory
        self.appendDefault = appendDefault
    }
}
