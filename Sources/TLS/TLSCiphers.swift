/// Builds OpenSSL cipher lists the way Postfix does.
package enum TLSCiphers {
    /// `grade` is the text of `tls_high_cipherlist` or another grade's parameter, `exclusions` the values of the `*_exclude_ciphers`
    /// parameters, already split into elements (`aNULL`, `MD5`, `DES+MD5`).
    package static func list(grade: String, excluding exclusions: [String]) -> String {
        exclusions.reduce(grade) { $0 + ":!" + $1 }
    }
}

/// Groups for the key exchange, by `smtpd_tls_eecdh_grade`.
package enum TLSCurves {
    /// `auto` is `tls_eecdh_auto_curves`, `strong` `tls_eecdh_strong_curve`, `ultra` `tls_eecdh_ultra_curve`. For grade `none` the result is
    /// empty: no preference (exclude the ciphers of `kEECDH` to be rid of ECDHE before TLS 1.3). nil for a grade that does not exist.
    package static func names(grade: String, auto: [String], strong: String, ultra: String) -> [String]? {
        switch grade.lowercased() {
        case "auto": auto
        case "strong": [strong]
        case "ultra": [ultra]
        case "none": []
        default: nil
        }
    }
}
