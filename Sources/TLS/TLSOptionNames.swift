import COpenSSL

/// The names and masks of `tls_ssl_options` and `tls_disable_workarounds`.
enum TLSOptionNames {
    /// `tls_ssl_options`: what to switch on.
    static let options: [String: UInt64] = [
        "ENABLE_MIDDLEBOX_COMPAT": postern_op_enable_middlebox_compat,
        "LEGACY_SERVER_CONNECT": postern_op_legacy_server_connect,
        "NO_TICKET": postern_op_no_ticket,
        "NO_COMPRESSION": postern_op_no_compression,
        "NO_RENEGOTIATION": postern_op_no_renegotiation,
        "NO_SESSION_RESUMPTION_ON_RENEGOTIATION": postern_op_no_session_resumption_on_renegotiation,
        "PRIORITIZE_CHACHA": postern_op_prioritize_chacha,
    ]

    /// `tls_disable_workarounds`: bits to take out of the set of all workarounds. Those that OpenSSL 3 no longer has are 0.
    static let workarounds: [String: UInt64] = [
        "CRYPTOPRO_TLSEXT_BUG": postern_op_cryptopro_tlsext_bug,
        "DONT_INSERT_EMPTY_FRAGMENTS": postern_op_dont_insert_empty_fragments,
        "LEGACY_SERVER_CONNECT": postern_op_legacy_server_connect,
        "MICROSOFT_BIG_SSLV3_BUFFER": 0,
        "MICROSOFT_SESS_ID_BUG": 0,
        "MSIE_SSLV2_RSA_PADDING": 0,
        "CVE-2005-2969": 0,
        "NETSCAPE_CHALLENGE_BUG": 0,
        "NETSCAPE_REUSE_CIPHER_CHANGE_BUG": 0,
        "CVE-2010-4180": 0,
        "SAFARI_ECDHE_ECDSA_BUG": postern_op_safari_ecdhe_ecdsa_bug,
        "SSLEAY_080_CLIENT_DH_BUG": 0,
        "SSLREF2_REUSE_CERT_TYPE_BUG": 0,
        "TLS_BLOCK_PADDING_BUG": 0,
        "TLS_D5_BUG": 0,
        "TLS_ROLLBACK_BUG": postern_op_tls_rollback_bug,
        "TLSEXT_PADDING": postern_op_tlsext_padding,
    ]

    /// The mask a parameter's value stands for, and the elements nobody knows (Postfix warns about those and goes on).
    static func mask(_ text: String, names: [String: UInt64]) -> (mask: UInt64, unknown: [String]) {
        let elements = text.split(whereSeparator: { $0.isWhitespace || $0 == "," })
        if elements.count == 1, elements[0].lowercased().hasPrefix("0x"), let mask = UInt64(elements[0].dropFirst(2), radix: 16) {
            return (mask, [])
        }
        var result: (mask: UInt64, unknown: [String]) = (0, [])
        for element in elements {
            if let bits = names[element.uppercased()] { result.mask |= bits } else { result.unknown.append(String(element)) }
        }
        return result
    }

    /// What the parameters for protocols and preference decide, and a mask therefore must not.
    static let ownedElsewhere = postern_op_no_protocols | postern_op_cipher_server_preference
}
