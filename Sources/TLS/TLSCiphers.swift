/// Builds OpenSSL cipher lists the way Postfix does.
package enum TLSCiphers {
    /// `grade` is the text of `tls_high_cipherlist` or another grade's parameter, `exclusions` the values of the `*_exclude_ciphers`
    /// parameters, already split into elements (`aNULL`, `MD5`, `DES+MD5`).
    package static func list(grade: String, excluding exclusions: [String]) -> String {
        exclusions.reduce(grade) { $0 + ":!" + $1 }
    }
}
